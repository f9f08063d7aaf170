// Node's WebSocket against an echo.

import assert from "node:assert/strict";

if (typeof WebSocket !== "function") {
  console.log("skipped: this Node has no WebSocket");
  console.log("ok nothing");
  process.exit();
}
const url = process.argv[2].replace("http://", "ws://") + "/api/v2/ws";
const socket = new WebSocket(url, ["contacts"]);
socket.binaryType = "arraybuffer";
const event = (name) =>
  new Promise((resolve, reject) => {
    socket.addEventListener(name, resolve, { once: true });
    socket.addEventListener("error", () => reject(new Error(`no ${name}`)), { once: true });
  });
await event("open");
assert.equal(socket.protocol, "contacts");
for (const message of ["hello", "x".repeat(100_000), new Uint8Array([0, 1, 2]).buffer]) {
  const echoed = event("message");
  socket.send(message);
  assert.deepEqual((await echoed).data, message);
}
const closed = event("close");
socket.close(1000);
assert.equal((await closed).code, 1000);
console.log("ok WebSocket");
