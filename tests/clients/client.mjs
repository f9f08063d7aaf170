// Node's fetch and its http module, as an application would use them.

import assert from "node:assert/strict";
import http from "node:http";
import { once } from "node:events";

const base = process.argv[2];
const show = (name) => console.log("ok", name);

if (typeof fetch === "function") {
  const me = await fetch(`${base}/api/v2/users/me`);
  assert.equal(me.status, 200);
  await me.json();
  const echo = await fetch(`${base}/api/v2/echo/a%2Fb`, { method: "POST", body: JSON.stringify({ a: 1 }) });
  const description = await echo.json();
  assert.equal(description.target, "/api/v2/echo/a%2Fb");
  assert.equal(description.body.bytes, 7);
  const pieces = new ReadableStream({
    start(controller) {
      for (let piece = 0; piece < 100; piece++) controller.enqueue(new Uint8Array(1000));
      controller.close();
    },
  });
  const upload = await fetch(`${base}/api/v2/upload`, { method: "POST", body: pieces, duplex: "half" });
  assert.equal((await upload.json()).bytes, 100_000);
  const gzip = await fetch(`${base}/api/v2/gzip`);
  assert.ok((await gzip.json()).compressed);
  const large = await fetch(`${base}/api/v2/large?bytes=3000000`);
  assert.equal((await large.arrayBuffer()).byteLength, 3_000_000);
  const events = await fetch(`${base}/api/v2/events?count=3&interval_ms=10`);
  assert.equal((await events.text()).match(/^data:/gm).length, 3);
  const aborted = new AbortController();
  const endless = await fetch(`${base}/api/v2/events?interval_ms=10`, { signal: aborted.signal });
  await endless.body.getReader().read();
  aborted.abort();
  const many = await Promise.all(Array.from({ length: 100 }, () => fetch(`${base}/api/v2/users/me`)));
  assert.ok(many.every((response) => response.status === 200));
  await Promise.all(many.map((response) => response.arrayBuffer()));
  show("fetch");
} else {
  console.log("skipped: this Node has no fetch");
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
async function request(path, options = {}, body) {
  const sent = http.request(base + path, { agent, ...options });
  sent.end(body);
  const [response] = await once(sent, "response");
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { response, body: Buffer.concat(chunks), port: sent.socket?.localPort, trailers: response.trailers };
}
const first = await request("/api/v2/users/me");
const second = await request("/api/v2/users/me");
assert.equal(first.response.statusCode, 200);
assert.equal(second.response.statusCode, 200);
assert.ok(second.response.socket === null || first.port === second.port, "the connection was not kept");
const posted = await request("/api/v2/echo", { method: "POST", headers: { "X-MiXeD": "1" } }, "body");
const description = JSON.parse(posted.body);
assert.ok(description.fields.some(([name]) => name === "X-Mixed"), "names are in title case by default");
const trailers = await request("/api/v2/trailers", { headers: { TE: "trailers" } });
assert.ok(trailers.trailers["x-checksum"], "trailers arrive where the client asks for them");
const expecting = http.request(`${base}/api/v2/upload`, {
  agent,
  method: "POST",
  headers: { Expect: "100-continue", "Content-Length": 4 },
});
expecting.flushHeaders();
await once(expecting, "continue");
expecting.end("body");
const [answer] = await once(expecting, "response");
assert.equal(answer.statusCode, 200);
answer.resume();
await once(answer, "end");
agent.destroy();
show("http");
