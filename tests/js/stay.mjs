// Pages that stay open: they watch a campaign whatever becomes of the host, and rejoin
// with the last seq that they saw.
//
//   node stay.mjs '{"port": 4000, "watchers": 20, "longpoll": false}'
//
// Opens the campaign, joins all watchers, prints {"ready": true}, and gives until a line
// comes on standard input. Then it waits until everyone has heard of the last gift and
// sees everyone else, and prints what was seen as one line of JSON.

import { createInterface } from "node:readline";

import { LongPoll, Presence, Socket } from "phoenix";
import WebSocket from "ws";

const { port, watchers, longpoll } = JSON.parse(process.argv[2]);
const topic = "donations:stay";
const DEADLINE_MS = 30_000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function connect() {
  const transport = longpoll ? LongPoll : WebSocket;
  // Quicker than a page would, so that the test is.
  const rejoinAfterMs = () => 100;
  const socket = new Socket(`ws://127.0.0.1:${port}/socket`, { transport, rejoinAfterMs });
  socket.connect();
  return socket;
}

class Watcher {
  constructor(number) {
    this.number = number;
    this.heard = [];
    this.joins = [];
    this.closes = 0;
    this.disorders = 0;
    this.last = undefined;
  }

  join() {
    this.socket = connect();
    // A function: it is asked at each rejoin, which is all that a page has to do.
    this.channel = this.socket.channel(topic, () => ({ seq: this.last, presence: true }));
    this.presence = new Presence(this.channel);
    this.channel.onClose(() => (this.closes += 1));
    this.channel.on("donation_received", ({ seq, donation_id, fund }) => {
      if (this.last !== undefined && seq <= this.last) this.disorders += 1;
      this.last = seq;
      this.heard.push([donation_id, fund ?? null]);
    });
    return new Promise((resolve) => {
      this.channel.join().receive("ok", ({ seq, resumed, replayed, reason }) => {
        this.joins.push({ resumed, replayed, reason });
        // What was not told again is in the summary.
        if (!resumed) this.last = seq;
        resolve();
      });
    });
  }
}

const giver = connect();
const till = giver.channel(topic, {});
const ask = (event, payload) =>
  new Promise((resolve) => {
    till
      .push(event, payload, 2_000)
      .receive("ok", (ok) => resolve({ ok }))
      .receive("error", (error) => resolve({ error }))
      .receive("timeout", () => resolve({ timeout: true }));
  });
await new Promise((resolve) => till.join().receive("ok", resolve));
await ask("open", { title: "Stay", currency: "USD", goal: "1000000.00" });

const all = Array.from({ length: watchers }, (_, number) => new Watcher(number));
await Promise.all(all.map((watcher) => watcher.join()));

const lines = createInterface({ input: process.stdin });
let stopping = false;
lines.once("line", () => (stopping = true));
lines.once("close", () => (stopping = true));
console.log(JSON.stringify({ ready: true }));

const acknowledged = [];
// Some more behind the end of what becomes of the host.
for (let number = 1, more = 20; more > 0; number += 1) {
  if (stopping) more -= 1;
  const gift = { donation_id: `g${number}`, amount: "1.00", currency: "USD" };
  while (!(await ask("donate", gift)).ok) await sleep(50);
  acknowledged.push(gift.donation_id);
  await sleep(10);
}

async function until(isSo) {
  const deadline = Date.now() + DEADLINE_MS;
  while (!isSo() && Date.now() < deadline) await sleep(50);
  return isSo();
}
const last = acknowledged.at(-1);
const knowsLast = ({ heard }) => heard.some(([id]) => id === last);
const told = await until(() => all.every(knowsLast));
const seesAll = ({ presence }) =>
  presence.list().length === watchers && presence.list().every(({ metas }) => metas.length === 1);
const shown = await until(() => all.every(seesAll));
const presences = all.map(({ presence }) => presence.list().length);

// One leaves, and the others see it.
await new Promise((resolve) => all[0].channel.leave().receive("ok", resolve));
const others = all.slice(1);
const parted = await until(() => others.every((it) => it.presence.list().length === watchers - 1));

const closes = all.map((it) => it.closes - (it === all[0] ? 1 : 0));
const seen = all.map(({ heard, joins, disorders }, number) => ({
  heard,
  joins,
  disorders,
  closes: closes[number],
}));
const report = { acknowledged, told, shown, parted, presences, watchers: seen };
await new Promise((resolve) => process.stdout.write(`${JSON.stringify(report)}\n`, resolve));
process.exit(0);
