// A page that stays: it has joined a campaign, gives, and counts what it sees.

import { Socket } from "./phoenix.mjs";

const seen = {
  // [id, amount in cents]
  acknowledged: [],
  socket_closes: 0,
  socket_errors: 0,
  channel_closes: 0,
  channel_errors: 0,
  error_replies: [],
  // The versions of host:release, in order.
  releases: [],
  // By broadcast: the id of a gift.
  heard: [],
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let channel;
let giving;
let stopping = false;

function ask(event, payload) {
  return new Promise((resolve) => {
    channel
      .push(event, payload)
      .receive("ok", (ok) => resolve({ ok }))
      .receive("error", (error) => resolve({ error }))
      .receive("timeout", () => resolve({ error: { reason: "timeout" } }));
  });
}

async function give() {
  for (let number = 1; !stopping; number += 1) {
    const gift = { donation_id: `page-${number}`, amount: "1.25", currency: "USD" };
    const { ok, error } = await ask("donate", gift);
    if (ok) seen.acknowledged.push([gift.donation_id, 125]);
    else seen.error_replies.push(error.reason);
    await sleep(20);
  }
}

window.begin = async ({ url, topic }) => {
  const socket = new Socket(url);
  socket.onClose(() => (seen.socket_closes += 1));
  socket.onError(() => (seen.socket_errors += 1));
  socket.connect();
  channel = socket.channel(topic, {});
  channel.onClose(() => (seen.channel_closes += 1));
  channel.onError(() => (seen.channel_errors += 1));
  channel.on("host:release", ({ version }) => seen.releases.push(version));
  channel.on("donation_received", ({ donation_id }) => seen.heard.push(donation_id));
  await new Promise((resolve, reject) => {
    channel.join().receive("ok", resolve).receive("error", reject);
  });
  const { error } = await ask("open", { title: "From a page", currency: "USD", goal: "100.00" });
  if (error) throw new Error(`the campaign is not opened: ${error.reason}`);
  giving = give();
};

window.end = async () => {
  stopping = true;
  await giving;
  return seen;
};
