// What a browser's client relies on, told step by step.
//
//   node conformance.mjs '{"port": 4000}'
//   NODE_EXTRA_CA_CERTS=cert.pem node conformance.mjs '{"port": 4000, "tls": true}'
//
// Ends with 0 and prints {"passed": [...]}; a step that fails ends it with 1 and says
// which. A line on standard output that asks {"do": "restart"} wants the host
// restarted, and is answered by a line on standard input.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";

import { Socket } from "phoenix";
import WebSocket from "ws";

import { answer, within } from "./wait.mjs";

const { port, tls } = JSON.parse(process.argv[2]);
const url = tls ? `wss://localhost:${port}/socket` : `ws://127.0.0.1:${port}/socket`;
const passed = [];
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const heard = (channel, event) =>
  within(
    event,
    new Promise((resolve) => {
      const ref = channel.on(event, (payload) => {
        channel.off(event, ref);
        resolve(payload);
      });
    }),
  );

function connected(options = {}) {
  const socket = new Socket(url, { transport: WebSocket, ...options });
  const opened = new Promise((resolve) => socket.onOpen(resolve));
  socket.connect();
  return within("a connection", opened).then(() => socket);
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

const gift = (donation_id, amount = "5.00") => ({ donation_id, amount, currency: "USD" });
const socket = await connected();
let channel = socket.channel("donations:js", {});

await step("a join is answered with summary and seq", async () => {
  const { status, response } = await answer(channel.join());
  assert.equal(status, "ok");
  assert.equal(response.seq, 0);
  assert.equal(response.summary.count, 0);
  assert.equal(response.summary.version, "0.1.0");
});

await step("a push is answered with the plugin's reply", async () => {
  const opened = await answer(
    channel.push("open", { title: "Água", currency: "USD", goal: "100.00" }),
  );
  assert.equal(opened.status, "ok");
  const { status, response } = await answer(channel.push("donate", gift("d1")));
  assert.equal(status, "ok");
  assert.deepEqual(
    { ...response, message: undefined },
    { ...response, receipt_no: 1, donation_id: "d1", total: "5.00", count: 1, message: undefined },
  );
});

await step("a query over a push", async () => {
  const { status, response } = await answer(channel.push("summary", {}));
  assert.equal(status, "ok");
  assert.equal(response.title, "Água");
});

await step("a binary push is JSON in an ArrayBuffer, and so is its reply", async () => {
  const bytes = (value) => new TextEncoder().encode(value).buffer;
  const read = (buffer) => JSON.parse(new TextDecoder().decode(buffer));
  const again = await answer(channel.push("donate", bytes(JSON.stringify(gift("d1")))));
  assert.equal(again.status, "ok");
  assert.ok(again.response instanceof ArrayBuffer);
  assert.equal(read(again.response).duplicate, true);
  for (const data of ["", "\u0000", "{", "[1]", "\"x\""]) {
    const refused = await answer(channel.push("donate", bytes(data)));
    assert.equal(refused.status, "error", data);
    assert.equal(read(refused.response).reason, "bad_payload");
  }
});

await step("an error has a reason and a message", async () => {
  for (const [event, payload, reason] of [
    ["donate", gift("d2", "-1.00"), "bad_amount"],
    ["donate", gift("d1", "6.00"), "conflict"],
    ["donate", { amount: 5 }, "bad_payload"],
    ["open", { title: "T", currency: "USD", goal: "1.00" }, "already_open"],
    ["no_such_event", {}, "unknown_event"],
  ]) {
    const { status, response } = await answer(channel.push(event, payload));
    assert.equal(status, "error", event);
    assert.equal(response.reason, reason);
    assert.ok(response.message.length > 0, reason);
  }
});

await step("a broadcast reaches everyone who has joined, with seq", async () => {
  const other = await connected();
  const theirs = other.channel("donations:js", {});
  const { response } = await answer(theirs.join());
  assert.equal(response.seq, 2);
  const both = [heard(channel, "donation_received"), heard(theirs, "donation_received")];
  assert.equal((await answer(theirs.push("donate", gift("d3")))).status, "ok");
  for (const payload of await Promise.all(both)) {
    assert.equal(payload.donor, "anonymous");
    assert.equal(payload.seq, 3);
  }
  other.disconnect();
});

await step("a heartbeat is answered", async () => {
  const quick = await connected({ heartbeatIntervalMs: 50 });
  let beats = 0;
  await within(
    "three heartbeats",
    new Promise((resolve) => {
      quick.onMessage(({ topic, event, payload }) => {
        if (topic === "phoenix" && event === "phx_reply" && payload.status === "ok") beats += 1;
        if (beats === 3) resolve();
      });
    }),
  );
  assert.ok(quick.isConnected());
  quick.disconnect();
});

await step("a topic of an unknown plugin is unmatched", async () => {
  for (const topic of ["livestock:c1", "donations", "nonsense"]) {
    const unknown = socket.channel(topic, {});
    const { status, response } = await answer(unknown.join());
    assert.equal(status, "error", topic);
    assert.equal(response.reason, "unmatched topic");
    unknown.leave();
  }
});

await step("a second join of a topic takes the place of the first", async () => {
  let closed = 0;
  channel.onClose(() => (closed += 1));
  const raw = new WebSocket(`${url}/websocket?vsn=2.0.0`);
  await within("a connection", new Promise((resolve) => raw.once("open", resolve)));
  const messages = [];
  const three = new Promise((resolve) => {
    raw.on("message", (data) => {
      messages.push(JSON.parse(data));
      if (messages.length === 3) resolve();
    });
  });
  raw.send(JSON.stringify(["1", "1", "donations:js", "phx_join", {}]));
  raw.send(JSON.stringify(["2", "2", "donations:js", "phx_join", {}]));
  await within("three messages", three);
  raw.terminate();
  assert.deepEqual(
    messages.map(([join_ref, ref, , event]) => [join_ref, ref, event]),
    [
      ["1", "1", "phx_reply"],
      ["2", "2", "phx_reply"],
      ["1", "1", "phx_close"],
    ],
  );
  assert.equal(closed, 0, "another connection's channel is no business of theirs");
});

await step("a channel that is left is closed, and can be joined again", async () => {
  const closed = new Promise((resolve) => channel.onClose(resolve));
  assert.equal((await answer(channel.leave())).status, "ok");
  await within("phx_close", closed);
  channel = socket.channel("donations:js", {});
  const { response } = await answer(channel.join());
  assert.equal(response.seq, 3);
  assert.equal(response.summary.total, "10.00");
});

await step("a client whose connection is cut joins again by itself", async () => {
  const joined = new Promise((resolve) => {
    socket.onOpen(() => channel.joinPush.receive("ok", resolve));
  });
  socket.conn.terminate();
  await within("a new join", joined);
  assert.equal((await answer(channel.push("donate", gift("d4")))).status, "ok");
});

await step("a client joins again by itself after a restart of the host", async () => {
  let closes = 0;
  channel.onClose(() => (closes += 1));
  const joined = new Promise((resolve) => {
    socket.onOpen(() => channel.joinPush.receive("ok", resolve));
  });
  console.log(JSON.stringify({ do: "restart" }));
  await lines.next();
  await within("a new join", joined);
  const { response } = await answer(channel.push("donate", gift("d4")));
  assert.equal(response.duplicate, true);
  assert.equal(closes, 0, "the channel itself was never closed");
});

await step("who cannot open a WebSocket falls back to long polls", async () => {
  class Stalled {
    readyState = 0;
    close() {}
  }
  const kept = new Map();
  const sessionStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
  };
  const options = { transport: Stalled, longPollFallbackMs: 100, sessionStorage };
  const fallen = await connected({ ...options, params: { token: "of its own" } });
  const theirs = fallen.channel("donations:js", {});
  assert.equal((await answer(theirs.join())).status, "ok");
  const both = [heard(channel, "donation_received"), heard(theirs, "donation_received")];
  // A burst is one request.
  const pushes = ["d5", "d6", "d7"].map((id) => answer(theirs.push("donate", gift(id))));
  for (const { status } of await Promise.all(pushes)) assert.equal(status, "ok");
  const [one, other] = await Promise.all(both);
  assert.deepEqual(one, other);
  const bytes = new TextEncoder().encode(JSON.stringify(gift("d5"))).buffer;
  const { response } = await answer(theirs.push("donate", bytes));
  assert.equal(response.duplicate, true, "over long polls every reply is text");
  assert.equal((await answer(theirs.push("donate", { amount: 1 }))).response.reason, "bad_payload");
  assert.equal((await answer(theirs.leave())).status, "ok");
  fallen.disconnect();
});

await step("version 1 of the protocol is refused", async () => {
  const raw = new WebSocket(`${url}/websocket?vsn=1.0.0`);
  const refused = new Promise((resolve) => {
    raw.on("error", () => {});
    raw.on("unexpected-response", (_, response) => resolve(response.statusCode));
  });
  assert.equal(await within("a refusal", refused), 403);
});

console.log(JSON.stringify({ passed }));
process.exit(0);
