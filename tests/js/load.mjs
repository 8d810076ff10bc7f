// Many donors with the client that browsers use.
//
//   node load.mjs '{"port": 4000, "clients": 500, "campaigns": 200, "pace_ms": 500}'
//
// Opens the campaigns, connects everyone, prints {"ready": true}, and lets them give
// until a line comes on standard input. Every gift has an id of its own, which it
// keeps however often it must be sent. At the end the gift under way is finished,
// and what was seen is printed as one line of JSON.

import { createInterface } from "node:readline";

import { Socket } from "phoenix";
import WebSocket from "ws";

const { port, clients, campaigns, pace_ms } = JSON.parse(process.argv[2]);

const seen = {
  // By topic: [id, amount in cents].
  acknowledged: {},
  socket_closes: 0,
  socket_errors: 0,
  channel_closes: 0,
  channel_errors: 0,
  joins: 0,
  join_errors: 0,
  error_replies: {},
  timeouts: 0,
  // By client: the versions of host:release, in order.
  releases: {},
  // By client: broadcasts heard whose seq did not grow.
  disorders: 0,
  broadcasts: 0,
  longest_wait_ms: 0,
};

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const topicOf = (number) => `donations:c${number}`;
let stopping = false;

function connect() {
  const socket = new Socket(`ws://127.0.0.1:${port}/socket`, { transport: WebSocket });
  socket.onClose(() => (seen.socket_closes += 1));
  socket.onError(() => (seen.socket_errors += 1));
  socket.connect();
  return socket;
}

// The answer to a push: {ok} or {error} or {timeout}.
function ask(channel, event, payload) {
  return new Promise((resolve) => {
    channel
      .push(event, payload)
      .receive("ok", (ok) => resolve({ ok }))
      .receive("error", (error) => resolve({ error }))
      .receive("timeout", () => resolve({ timeout: true }));
  });
}

function join(socket, topic, listen) {
  const channel = socket.channel(topic, {});
  listen(channel);
  return new Promise((resolve) => {
    channel
      .join()
      .receive("ok", (response) => {
        seen.joins += 1;
        resolve({ channel, response });
      })
      .receive("error", () => (seen.join_errors += 1));
  });
}

async function open() {
  const socket = connect();
  for (let number = 0; number < campaigns; number += 1) {
    const { channel } = await join(socket, topicOf(number), () => {});
    const opened = await ask(channel, "open", {
      title: `Campaign ${number}`,
      currency: "USD",
      goal: "1000000.00",
    });
    if (!opened.ok) throw new Error(`open: ${JSON.stringify(opened)}`);
    await new Promise((resolve) => channel.leave().receive("ok", resolve));
  }
  await new Promise((resolve) => socket.disconnect(resolve));
}

class Donor {
  constructor(number) {
    this.number = number;
    this.topic = topicOf(number % campaigns);
    this.socket = connect();
    this.lastSeq = 0;
  }

  async join() {
    const joined = await join(this.socket, this.topic, (channel) => {
      channel.onClose(() => (seen.channel_closes += 1));
      channel.onError(() => (seen.channel_errors += 1));
      channel.on("host:release", ({ version }) => {
        (seen.releases[this.number] ??= []).push(version);
      });
      channel.on("donation_received", ({ seq }) => {
        seen.broadcasts += 1;
        if (seq <= this.lastSeq) seen.disorders += 1;
        this.lastSeq = seq;
      });
    });
    this.channel = joined.channel;
  }

  async give() {
    // Not all in the same moment.
    await sleep((pace_ms * this.number) / clients);
    for (let gift = 1; !stopping; gift += 1) {
      await this.donate(gift);
      await sleep(pace_ms);
    }
  }

  async donate(gift) {
    const donation_id = `js${this.number}-${gift}`;
    const cents = 1 + ((this.number * 7919 + gift * 104729) % 99999);
    const amount = `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;
    const began = Date.now();
    for (;;) {
      const answer = await ask(this.channel, "donate", {
        donation_id,
        donor: `donor ${this.number}`,
        amount,
        currency: "USD",
      });
      if (answer.ok) {
        (seen.acknowledged[this.topic] ??= []).push([donation_id, cents]);
        seen.longest_wait_ms = Math.max(seen.longest_wait_ms, Date.now() - began);
        return;
      }
      if (answer.timeout) seen.timeouts += 1;
      if (answer.error) {
        const reason = answer.error.reason ?? "none";
        seen.error_replies[reason] = (seen.error_replies[reason] ?? 0) + 1;
      }
      await sleep(20);
    }
  }
}

await open();
seen.socket_closes = 0; // That of the one who opened.
const donors = Array.from({ length: clients }, (_, number) => new Donor(number));
await Promise.all(donors.map((donor) => donor.join()));
console.log(JSON.stringify({ ready: true }));

const giving = Promise.all(donors.map((donor) => donor.give()));
const lines = createInterface({ input: process.stdin });
await new Promise((resolve) => {
  lines.once("line", resolve);
  lines.once("close", resolve);
});
stopping = true;
await giving;
// What was seen up to here: the connections end by the client's own will now.
await new Promise((resolve) => process.stdout.write(`${JSON.stringify(seen)}\n`, resolve));
process.exit(0);
