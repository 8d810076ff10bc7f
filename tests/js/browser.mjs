// A page in Chromium that stays connected.
//
//   node browser.mjs '{"port": 4000, "topic": "donations:page"}'
//
// Serves the page of ./browser with the package `phoenix`, opens it in a headless Chromium,
// prints {"ready": true} when it has joined, and lets it give until a line comes on standard
// input. Then what the page saw is printed as one line of JSON.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const { port, topic } = JSON.parse(process.argv[2]);
const FILES = {
  "/": ["browser/index.html", "text/html"],
  "/page.js": ["browser/page.js", "text/javascript"],
  "/phoenix.mjs": ["node_modules/phoenix/priv/static/phoenix.mjs", "text/javascript"],
};

const server = createServer(async (request, response) => {
  const [file, type] = FILES[request.url] ?? [];
  if (!file) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": type });
  response.end(await readFile(new URL(file, import.meta.url)));
});
server.listen(0, "127.0.0.1");
await once(server, "listening");

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  // As root, in a container, a browser has no sandbox of its own.
  chromiumSandbox: process.getuid() !== 0,
  args: [
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    // A container's /dev/shm is small.
    "--disable-dev-shm-usage",
  ],
});
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(error));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.begin !== undefined);
  const url = `ws://127.0.0.1:${port}/socket`;
  await page.evaluate((where) => window.begin(where), { url, topic });
  console.log(JSON.stringify({ ready: true }));
  const input = createInterface({ input: process.stdin });
  await once(input, "line");
  input.close();
  console.log(JSON.stringify(await page.evaluate(() => window.end())));
} finally {
  await browser.close();
  server.close();
}
