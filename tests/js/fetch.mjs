// What Node's own client makes of an answer.
//
//   node fetch.mjs '{"url": "http://localhost:4000/api/v1/..."}'
//
// Prints {"coding", "body"}: how it came, and what it says.

const { url } = JSON.parse(process.argv[2]);
setTimeout(() => process.exit(1), 30_000).unref();

const answer = await fetch(url);
const coding = answer.headers.get("content-encoding");
console.log(JSON.stringify({ coding, body: await answer.json() }));
