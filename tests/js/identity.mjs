// Tokens, as the client of browsers brings them.
//
//   node identity.mjs '{"port": 4000, "ali": "...", "later": "...", "sara": "..."}'
//
// `ali` and `later` are tokens of the same subject, `sara` of another one. Ends with 0 and
// prints {"passed": [...]}; a step that fails ends it with 1 and says which.

import assert from "node:assert/strict";

import { Socket } from "phoenix";
import WebSocket from "ws";

import { answer, within } from "./wait.mjs";

const { port, ali, later, sara } = JSON.parse(process.argv[2]);
const url = `ws://127.0.0.1:${port}/socket`;
const passed = [];

function connected(options = {}) {
  const socket = new Socket(url, { transport: WebSocket, ...options });
  const opened = new Promise((resolve) => socket.onOpen(resolve));
  socket.connect();
  return within("a connection", opened).then(() => socket);
}

// Sends an event on the connection's own topic, and waits for its reply.
function renew(socket, token) {
  const ref = socket.makeRef();
  const replied = new Promise((resolve) => {
    const id = socket.onMessage((message) => {
      if (message.topic === "phoenix" && message.ref === ref) {
        socket.off([id]);
        resolve(message.payload);
      }
      return message;
    });
  });
  socket.push({ topic: "phoenix", event: "token", payload: { token }, ref });
  return within("a reply", replied);
}

async function step(name, run) {
  try {
    await run();
    passed.push(name);
  } catch (error) {
    console.log(JSON.stringify({ failed: name, error: String(error.stack ?? error) }));
    process.exit(1);
  }
}

let token = ali;
const socket = await connected({ params: () => ({ token }) });

await step("the token in params is who joins", async () => {
  const own = await answer(socket.channel("zakat:ali").join());
  assert.equal(own.status, "ok", JSON.stringify(own));
  const other = socket.channel("zakat:sara");
  const refused = await answer(other.join());
  other.leave();
  assert.equal(refused.status, "error");
  assert.equal(refused.response.reason, "forbidden");
});

await step("another token takes its place, without a close", async () => {
  let closes = 0;
  socket.onClose(() => (closes += 1));
  assert.equal((await renew(socket, later)).status, "ok");
  const refused = await renew(socket, sara);
  assert.equal(refused.status, "error");
  assert.equal(refused.response.reason, "bad_token");
  assert.equal(closes, 0);
});

await step("a token that is refused is asked for anew at each try", async () => {
  token = "x.y.z";
  let asked = 0;
  const params = () => {
    asked += 1;
    return { token: asked < 3 ? "x.y.z" : ali };
  };
  const patient = await connected({ params, reconnectAfterMs: () => 10 });
  assert.equal(asked, 3);
  const joined = await answer(patient.channel("zakat:ali").join());
  assert.equal(joined.status, "ok");
  patient.disconnect();
});

console.log(JSON.stringify({ passed }));
process.exit(0);
