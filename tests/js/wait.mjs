// Waiting with a deadline, for what the clients of these scripts are answered.

const DEADLINE_MS = 30_000;

export function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// What a push of the client comes to: {status, response}.
export function answer(push) {
  return within(
    "an answer",
    new Promise((resolve) => {
      for (const status of ["ok", "error", "timeout"]) {
        push.receive(status, (response) => resolve({ status, response }));
      }
    }),
  );
}
