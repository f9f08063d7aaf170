// Elements, and numbers as people read them. Text goes into text nodes only, so no name and no error can be markup.

const $ = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

// Writes only what has changed: a screen reader and a selection are not disturbed.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
// Code stands between backticks.
const marked = (text) => text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));
// Builds a part of the page again where what it depends on has changed.
const built = new WeakMap();
function rebuild(element, depends, build) {
  const key = JSON.stringify(depends);
  if (built.get(element) === key) return;
  built.set(element, key);
  element.replaceChildren(...[build()].flat());
}

const whole = new Intl.NumberFormat("en");
function number(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value < 0.1) return value.toFixed(2);
  if (value < 10) return value.toFixed(1).replace(/\.0$/, "");
  return whole.format(Math.round(value));
}
// Milliseconds in the unit that needs no zeroes.
function duration(ms) {
  if (ms === null || ms === undefined) return ["–", ""];
  if (ms < 1) return [number(Math.round(ms * 1000)), "µs"];
  if (ms < 1000) return [ms < 10 ? ms.toFixed(1).replace(/\.0$/, "") : number(ms), "ms"];
  return [(ms / 1000).toFixed(ms < 10_000 ? 1 : 0), "s"];
}
const spoken = (ms) => duration(ms).join("\u00a0").trim();
// Seconds as a clock: 54:12, 3:05:00.
function countdown(seconds) {
  const left = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
  if (parts[0] >= 48) return `${Math.floor(parts[0] / 24)} days`;
  if (parts[0] === 0) parts.shift();
  return parts.map((part, place) => (place === 0 ? `${part}` : `${part}`.padStart(2, "0"))).join(":");
}
function ago(iso) {
  const seconds = Math.max(0, (Date.now() + skew - Date.parse(iso)) / 1000);
  if (seconds < 2) return "just now";
  return `${lasted(seconds)} ago`;
}
function lasted(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
// How far the proxy's clock is ahead of this browser's.
let skew = 0;
