// What a client of HTTP/2 sees of the API.
//
//   node http2.mjs '{"port": 4000}'                                        prior knowledge
//   NODE_EXTRA_CA_CERTS=cert.pem node http2.mjs '{"port": 4000, "tls": true}'   ALPN
//
// Opens a campaign and gives to it, many times at once over one connection. Prints
// {"alpn", "statuses", "count"}.

import { connect } from "node:http2";

const { port, tls, gifts } = JSON.parse(process.argv[2]);
const session = connect(`${tls ? "https" : "http"}://localhost:${port}`);
setTimeout(() => process.exit(1), 30_000).unref();

function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ":method": method,
      ":path": path,
      "content-type": "application/json",
    });
    let status;
    let text = "";
    stream.on("response", (headers) => (status = headers[":status"]));
    stream.on("data", (chunk) => (text += chunk));
    stream.on("end", () => resolve({ status, body: JSON.parse(text) }));
    stream.on("error", reject);
    stream.end(body && JSON.stringify(body));
  });
}

const campaign = "/api/v1/donations/h2";
const opened = await ask("POST", `${campaign}/open`, { title: "h2", currency: "USD", goal: "1" });
const given = await Promise.all(
  Array.from({ length: gifts }, (_, at) =>
    ask("POST", `${campaign}/donate`, { donation_id: `d${at}`, amount: "1.00", currency: "USD" }),
  ),
);
const { body } = await ask("GET", `${campaign}/summary`);
const statuses = [...new Set([opened, ...given].map((answer) => answer.status))];
console.log(JSON.stringify({ alpn: session.alpnProtocol, statuses, count: body.count }));
session.close();
