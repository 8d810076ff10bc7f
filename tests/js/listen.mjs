// Joins a topic and prints what it is told, until Ctrl-C.
//
//   node listen.mjs 4000 donations:ramadan-2026

import { Socket } from "phoenix";
import WebSocket from "ws";

const [port, topic] = process.argv.slice(2);
const socket = new Socket(`ws://localhost:${port}/socket`, { transport: WebSocket });
socket.onOpen(() => console.log("connected"));
socket.onClose(() => console.log("disconnected"));
socket.connect();

const channel = socket.channel(topic);
// Every message passes here, whatever its event.
channel.onMessage = (event, payload) => {
  if (!event.startsWith("phx_") && !event.startsWith("chan_reply_")) console.log(event, payload);
  return payload;
};
channel
  .join()
  .receive("ok", (reply) => console.log("joined", reply))
  .receive("error", (problem) => console.log("refused", problem));
