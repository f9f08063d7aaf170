// The live page: asks the proxy every second, and says what it answered.

const EVERY_MS = 1000, EVERY_MS_HIDDEN = 10_000, PATIENCE_MS = 5000, KEPT = 600;
const TRAFFIC = [
  { column: "succeeded", name: "succeeded", tint: "good" },
  { column: "client_errors", name: "4xx", tint: "other" },
  { column: "rate_limited", name: "429", tint: "warn" },
  { column: "server_errors", name: "5xx", tint: "bad" },
];
const LATENCY = [
  { column: "upstream_p50_ms", name: "CXone API p50", tint: "api" },
  { column: "upstream_p99_ms", name: "p99", tint: "api", thin: true },
  { column: "added_p50_ms", name: "added by the proxy p50", tint: "good" },
  { column: "added_p99_ms", name: "p99", tint: "good", thin: true },
];
const WAITS = [["rate_limited", "Rate limit", "warn"], ["token", "Token", "api"], ["queue", "Turn in the queue", "other"]];
const RETRIES = [["unauthorized", "Token rejected (401)", "api"], ["rate_limited", "Rate limit (429)", "warn"], ["connection", "Connection died", "bad"]];
const TOKEN_TONES = { valid: "good", absent: "", expired: "warn", refused: "bad", unreachable: "bad" };

let chosenRange = false, status = null, answeredAt = 0, next = 0, configuration = null, startedAt = 0;
const rates = new Map();

charts.push(
  new Chart($("traffic"), {
    name: "Responses to clients", series: TRAFFIC, draw: stacked(TRAFFIC),
    format: (value, isValue) => number(value) + (isValue && value !== undefined ? "/s" : ""),
    empty: "No requests in this time.",
  }),
  new Chart($("latency"), {
    name: "Latency", series: LATENCY, log: true,
    draw: bands([["upstream_p50_ms", "upstream_p99_ms", "api"], ["added_p50_ms", "added_p99_ms", "good"]]),
    format: (value) => spoken(value), empty: "Nothing to measure in this time.",
  }),
);

async function ask(path, options) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.title ?? `${response.status}`), { hint: body.hint });
  return { body, date: Date.parse(response.headers.get("date")) };
}

async function poll() {
  try {
    const [state, columns] = await Promise.all([ask("status"), ask(`history?after=${next}`)]);
    if (columns.body.next < next || (status && state.body.uptime_seconds < status.uptime_seconds)) restart();
    skew = state.date - Date.now();
    if (Math.abs(skew) < 2000) skew = 0;
    rate(state.body);
    status = state.body;
    answeredAt = Date.now();
    append(columns.body);
    const reloaded = JSON.stringify(status.reload ?? null);
    if (configuration?.reloaded !== reloaded) configuration = { rows: (await ask("configuration")).body, reloaded };
  } catch (error) {
    console.warn("the proxy did not answer", error);
  }
  render();
  setTimeout(poll, document.hidden ? EVERY_MS_HIDDEN : EVERY_MS);
}
// Another run of the program has other counts.
function restart() {
  status = null; configuration = null; rates.clear();
}
function append(columns) {
  next = columns.next;
  const latest = samples.at_ms.at(-1) ?? 0;
  const start = columns.at_ms.findIndex((time) => time > latest);
  if (start < 0) return;
  for (const [name, values] of Object.entries(columns)) {
    if (Array.isArray(values)) samples[name] = [...(samples[name] ?? []), ...values.slice(start)].slice(-KEPT);
  }
}
// Requests per second of each profile and caller, from two looks.
function rate(state) {
  const now = performance.now();
  const rows = [...(state.profiles ?? []).map((own) => [`profile ${own.name}`, own.requests.total]), ...callers(state).map((own) => [`caller ${own.name}`, own.total])];
  for (const [name, total] of rows) {
    const looks = [...(rates.get(name) ?? []), [now, total]].slice(-6);
    rates.set(name, looks);
  }
}
function perSecond(name) {
  const looks = rates.get(name) ?? [];
  if (looks.length < 2) return null;
  const [[then, before], [now, total]] = [looks[0], looks.at(-1)];
  return (Math.max(0, total - before) * 1000) / (now - then);
}
function callers(state) {
  const own = state.clients ?? state.callers;
  const list = Array.isArray(own) ? own : Object.entries(own ?? {}).map(([name, value]) => ({ name, ...(typeof value === "object" ? value : { total: value }) }));
  return list.map((caller) => ({ ...caller, total: caller.total ?? caller.requests?.total ?? caller.requests ?? 0 }));
}
const mean = (column, count) => {
  const values = (samples[column] ?? []).slice(-count);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
};

// What a person should know first: the tone, the mark, the words, the next step, and a countdown where one runs.
function verdict() {
  if (!status) return answeredAt || Date.now() - startedAt > PATIENCE_MS ? lost() : ["calm", "…", "Asking the proxy", ""];
  if (Date.now() - answeredAt > PATIENCE_MS) return lost();
  const worst = profiles().map((own) => tokenVerdict(own)).filter(Boolean).sort((one, other) => (other[0] === "bad") - (one[0] === "bad"))[0];
  if (status.draining) return ["warn", "◌", "Draining", `The process is about to end. ${count(status.requests.in_flight, "request is", "requests are")} still under way.`];
  if (status.paused_since) return ["warn", "Ⅱ", "Paused", `Requests are answered 503 since ${clock(Date.parse(status.paused_since))}. The token stays fresh.`, status.actions ? null : "Resume on the machine where the proxy runs: POST /resume on this address."];
  if (worst?.[0] === "bad") return worst;
  if (profiles().some((own) => !own.upstream?.base_url)) return ["warn", "◌", "Looking for the tenant's API", "It is not known yet where requests go.", "See the log for the answer of the discovery, or set CXONE_BASE_URL to the API's address."];
  if (worst) return worst;
  const paused = profiles().find((own) => own.pace?.state === "paused");
  if (paused) return ["warn", "Ⅱ", "CXone asked for a pause", "Requests wait until it is over, then go on in turn.", null, [Date.parse(paused.pace.paused_until), "go on in"]];
  const fresh = (status.failures ?? []).filter((own) => Date.now() + skew - Date.parse(own.latest_at) < 60_000);
  if (fresh.length) return ["warn", "▲", "Serving, with failures", `${fresh[0].title}, ${ago(fresh[0].latest_at)}. ${fresh.length > 1 ? `${fresh.length - 1} more in the list below.` : "See the list below."}`, fresh[0].hint];
  const paced = profiles().filter((own) => own.pace?.state === "limited");
  if (paced.length) {
    const [waiting, learned] = ["queue_length", "learned_rate"].map((name) => paced.reduce((sum, own) => sum + (own.pace[name] ?? 0), 0));
    return ["warn", "▲", "Paced to CXone's rate limit", `About ${number(learned)} requests a second pass. ${waiting ? `${count(waiting, "request waits", "requests wait")} in the queue.` : "None waits in the queue."}`];
  }
  if (mean("api_rate_limited", 15) > 0) return ["warn", "▲", "Slowed down by CXone's rate limit", "Requests wait as CXone asks, and are sent again."];
  if (!status.requests.total) return ["good", "✓", "Ready", "No request yet. Send one:", null, null, `curl -i http://${status.listen?.[0] ?? "127.0.0.1:8080"}/api/v2/users/me`];
  return ["good", "✓", "Serving", "Requests pass, and the token is fresh."];
}
function lost() {
  const since = answeredAt ? `The last answer came ${lasted((Date.now() - answeredAt) / 1000)} ago.` : "It has not answered yet.";
  return ["bad", "✕", "No answer from the proxy", since, "Is the process running? Ask it on its machine with `cxone-proxy ready --live`, and read the end of its log. This page goes on by itself."];
}
function tokenVerdict(own) {
  const { state, last_error, hint, next_try_at } = own.token;
  const of = status.profiles?.length > 1 ? ` of ${own.name}` : "";
  const again = next_try_at ? [Date.parse(next_try_at), "next try in"] : null;
  const text = last_error ? `${sentence(last_error)} Requests${of} fail until there is a token.` : "";
  if (state === "refused") return ["bad", "✕", `The token endpoint refuses the credentials${of}`, text, hint, again];
  if (state === "unreachable") return ["bad", "✕", `No token${of}: the token endpoint does not give one`, text, hint, again];
  if (state === "absent") return ["calm", "…", `Waiting for the first token${of}`, `From ${own.upstream.token_url}.`];
  if (state === "expired") return ["warn", "◌", `The token${of} has expired`, "A new one is on its way; requests wait for it."];
  if (last_error) return ["warn", "▲", `The token${of} cannot be renewed`, `${sentence(last_error)} Requests pass until the current token expires, in ${countdown(left(own.token))}.`, hint, again];
  return null;
}
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
const count = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;
const profiles = () => status.profiles ?? [{ name: "default", ...status }];
const left = (token) => (token.expires_in_seconds ?? 0) - (Date.now() - answeredAt) / 1000;

function render() {
  const [tone, mark, title, text, hint, until, command] = verdict();
  const isLost = title.startsWith("No answer");
  document.documentElement.classList.toggle("lost", isLost);
  const box = $("verdict");
  box.dataset.tone = tone;
  say(box.querySelector(".mark"), mark);
  say($("verdict-title"), title);
  rebuild($("verdict-text"), [text, command], () => (command ? [`${text} `, h("code", {}, command)] : [text]));
  $("verdict-hint").hidden = !hint;
  rebuild($("verdict-hint"), hint ?? "", () => marked(hint ?? ""));
  const seconds = until ? Math.max(0, (until[0] - Date.now() - skew) / 1000) : 0;
  $("verdict-count").hidden = !until;
  if (until) rebuild($("verdict-count"), [until[1], Math.ceil(seconds)], () => [until[1], h("b", {}, `${Math.ceil(seconds)} s`)]);
  $("pulse").dataset.state = isLost ? "lost" : status ? "live" : "waiting";
  say($("pulse-text"), isLost ? "no answer" : status ? "live" : "connecting");
  document.title = `${tone === "good" || tone === "calm" ? "" : `${mark} `}${title} · cxone-proxy`;
  icon(tone);
  if (!status) return;
  renderHead();
  renderTiles();
  if (!chosenRange) setRange(end() - (samples.at_ms[0] ?? end()) > 120_000 ? 600 : 60);
  charts.forEach((chart) => chart.render());
  renderToken();
  renderLines();
  renderFailures();
  renderPace();
  renderProfiles();
  renderCallers();
  renderConfiguration();
}
let iconTone = null;
function icon(tone) {
  if (iconTone === tone) return;
  iconTone = tone;
  const colour = { good: "%230b7a6f", warn: "%23e09a2b", bad: "%23b3261e", calm: "%235a6369" }[tone];
  $("icon").href = `data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="${colour}"/><path d="M4 8h7M8 5l3 3-3 3" stroke="white" stroke-width="2" fill="none"/></svg>`;
}

function renderHead() {
  say($("version"), status.version);
  const base = status.profiles?.length > 1 ? `${status.profiles.length} profiles` : (status.upstream?.base_url ?? "not known yet");
  rebuild($("route"), [status.listen, base], () => [(status.listen ?? []).join(", "), " → ", h("b", {}, base)]);
  const canAct = status.actions && !document.documentElement.classList.contains("lost");
  $("pause").hidden = !canAct || !!status.paused_since;
  $("resume").hidden = !canAct || !status.paused_since;
  say($("uptime"), `running for ${lasted(status.uptime_seconds)}`);
}
function figure(id, value, unit) {
  rebuild($(id), [value, unit], () => [value, ...(unit ? [h("small", {}, unit)] : [])]);
}
function renderTiles() {
  const all = TRAFFIC.reduce((sum, own) => sum + mean(own.column, 3), 0);
  figure("rate", number(all), "/s");
  const statuses = Object.entries(status.requests.statuses ?? {});
  const failed = statuses.filter(([code]) => code >= 500).reduce((sum, [, value]) => sum + value, 0);
  say($("rate-note"), `${whole.format(status.requests.total)} so far${failed ? `, ${whole.format(failed)} of them 5xx` : ""}`);
  figure("flight", whole.format(status.requests.in_flight));
  const waiting = WAITS.reduce((sum, [name]) => sum + mean(`waiting_${name}`, 5), 0);
  say($("flight-note"), waiting >= 0.05 ? `on average ${number(waiting)} wait in the proxy` : "none waits in the proxy");
  for (const [id, spread] of [["api", status.latency?.upstream_ms], ["own", status.latency?.added_ms]]) {
    figure(id, ...duration(spread?.p99));
    say($(`${id}-note`), spread ? `p50 ${spoken(spread.p50)}, longest ${spoken(spread.max)}` : "no requests in the last minute");
  }
}

const AROUND = 2 * Math.PI * 78;
const ring = s("circle", { class: "left", cx: 86, cy: 86, r: 78, "stroke-dasharray": AROUND, "stroke-dashoffset": AROUND });
$("ring").append(s("svg", { viewBox: "0 0 172 172", "aria-hidden": "true" }, s("circle", { cx: 86, cy: 86, r: 78 }), ring), h("p", {}, h("b", { id: "token-left" }), h("span", { class: "muted", id: "token-left-note" })));
function renderToken() {
  const { name, token } = profiles().toSorted((one, other) => left(one.token) - left(other.token))[0];
  say($("token-title"), status.profiles?.length > 1 ? `Token of ${name}` : "Token");
  const lifetime = (Date.parse(token.expires_at) - Date.parse(token.obtained_at)) / 1000;
  const rest = left(token), share = token.expires_at ? Math.min(1, Math.max(0, rest / lifetime)) : 0;
  const tone = token.state === "valid" && token.last_error ? "warn" : TOKEN_TONES[token.state] ?? "";
  $("token-state").className = `pill ${tone}`;
  say($("token-state"), token.state === "valid" && token.last_error ? "valid, not renewed" : token.state);
  ring.setAttribute("class", `left ${tone}`);
  ring.setAttribute("stroke-dashoffset", AROUND * (1 - share));
  ring.style.visibility = share > 0 ? "visible" : "hidden";
  say($("token-left"), token.expires_at && rest > 0 ? countdown(rest) : "–");
  say($("token-left-note"), token.expires_at ? (rest > 0 ? "left" : "expired") : "no token yet");
  rebuild($("token-facts"), [token.generation, token.obtained_at, token.scopes, status.profiles?.length], () => [
    ["Generation", token.generation || "–"],
    ["Obtained", token.obtained_at ? clock(Date.parse(token.obtained_at)) : "–"],
    ["Scopes", token.scopes?.length ? token.scopes.map((scope) => h("span", { class: "chip" }, scope)) : "none named"],
  ].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  $("renew").hidden = !status.actions;
}

const lines = new Map();
function line(table, name, label) {
  const id = `${table.id} ${name}`;
  if (!lines.has(id)) {
    const [graph, value] = [h("td", { class: "spark" }), h("td")];
    table.append(h("tr", {}, h("th", { scope: "row" }, label), graph, value));
    lines.set(id, { graph, value });
  }
  return lines.get(id);
}
function renderLines() {
  for (const [name, label, tint] of WAITS) {
    const { graph, value } = line($("waits"), name, label);
    graph.replaceChildren(spark(`waiting_${name}`, tint));
    say(value, number(mean(`waiting_${name}`, 5)));
  }
  for (const [name, label, tint] of RETRIES) {
    const { graph, value } = line($("retries"), name, label);
    graph.replaceChildren(spark(`retries_${name}`, tint));
    say(value, number(status.retries[name]));
  }
}

function renderFailures() {
  const failures = status.failures ?? [];
  rebuild($("failure-list"), [failures, Math.floor(Date.now() / 5000)], () => failures.length ? failures.map((own) => h("li", {},
    h("p", { class: `status ${own.status < 500 ? "warn" : ""}` }, own.status),
    h("p", { class: "title" }, own.title, status.profiles && own.profile ? ` (${own.profile})` : ""),
    h("p", { class: "when" }, `${own.count > 1 ? `${whole.format(own.count)} times, latest ` : ""}${ago(own.latest_at)}`),
    own.request ? h("p", { class: "deep mono" }, own.request) : null,
    own.detail !== own.title ? h("p", { class: "deep muted" }, marked(own.detail)) : null,
    h("p", { class: "todo" }, marked(own.hint)),
  )) : [h("li", { class: "calm" }, "No failure since the start. What fails is listed here with its next step.")]);
}

function renderPace() {
  const rows = profiles().filter((own) => own.pace && own.pace.state !== "off")
    .flatMap((own) => [[own.name, own.pace], ...(own.pace.limits ?? []).map((limit) => [`${own.name} ${limit.limit}`, limit])]);
  $("pace").hidden = !rows.length;
  $("failures").classList.toggle("alone", !rows.length);
  const tones = { unlimited: "good", limited: "warn", paused: "bad" };
  const words = { unlimited: "no limit met", limited: "paced", paused: "paused" };
  rebuild($("pace-list"), [rows, Math.floor(Date.now() / 1000)], () => rows.map(([name, own]) => h("div", {},
    h("div", { class: "row" }, h("b", {}, rows.length > 1 ? name : "Requests to the API"), h("span", { class: `pill ${tones[own.state] ?? ""}` }, words[own.state] ?? own.state)),
    h("dl", {}, [
      ["Learned rate", own.learned_rate ? `${number(own.learned_rate)}/s` : "none"],
      ["In the queue", number(own.queue_length ?? 0)],
      ...(own.paused_until ? [["Goes on in", countdown((Date.parse(own.paused_until) - Date.now() - skew) / 1000)]] : []),
      ...(own.budget_left !== undefined && own.budget_left !== null ? [["Left of the budget", number(own.budget_left)]] : []),
    ].flatMap(([label, value]) => [h("dt", {}, label), h("dd", {}, value)])))));
}

// Names of columns; those in lower case are of numbers.
const head = (...names) => h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col", class: /^[A-Z]/.test(name) ? "" : "num" }, name))));
const total = (statuses, from, to) => Object.entries(statuses ?? {}).filter(([code]) => code >= from && code < to).reduce((sum, [, value]) => sum + value, 0);
function renderProfiles() {
  const rows = status.profiles ?? [];
  $("profiles").hidden = !rows.length;
  rebuild($("profile-table"), [rows, Math.floor(Date.now() / 1000)], () => [
    head("Profile", "API", "Token", "per s", "in flight", "total", "4xx", "5xx", "sent again"),
    h("tbody", {}, rows.map((own) => h("tr", {},
      h("th", { scope: "row" }, h("a", { href: `readyz/${encodeURIComponent(own.name)}` }, own.name)),
      h("td", { class: "mono" }, own.upstream.base_url ?? "not known yet"),
      h("td", {}, h("span", { class: `pill ${TOKEN_TONES[own.token.state] ?? ""}` }, own.token.state === "valid" ? countdown(left(own.token)) : own.token.state)),
      [perSecond(`profile ${own.name}`), own.requests.in_flight, own.requests.total, total(own.requests.statuses, 400, 500), total(own.requests.statuses, 500, 600), Object.values(own.retries).reduce((sum, value) => sum + value, 0)]
        .map((value) => h("td", { class: "num" }, number(value))),
    ))),
  ]);
}
function renderCallers() {
  const rows = callers(status);
  $("callers").hidden = !rows.length;
  rebuild($("caller-table"), [rows, Math.floor(Date.now() / 1000)], () => [
    head("Caller", "per s", "in total"),
    h("tbody", {}, rows.map((own) => h("tr", {}, h("th", { scope: "row" }, own.name), [perSecond(`caller ${own.name}`), own.total].map((value) => h("td", { class: "num" }, number(value)))))),
  ]);
}

function renderConfiguration() {
  const all = configuration?.rows ?? [];
  const rows = $("defaults").checked ? all : all.filter((own) => own.source !== "default");
  rebuild($("configuration-table"), [rows], () => [
    head("Option", "Value", "Source"),
    h("tbody", {}, rows.map((own) => h("tr", { class: own.source === "default" ? "default" : "" },
      h("th", { scope: "row", title: own.meaning }, own.name),
      h("td", { class: own.value === null && own.source !== "default" ? "withheld" : "" }, own.value ?? (own.source === "default" ? "–" : "withheld")),
      h("td", {}, own.source),
    ))),
  ]);
  const reload = status.reload;
  $("reload").hidden = !reload;
  if (!reload) return;
  $("reload").className = `reload ${reload.last_error ? "bad" : ""}`;
  const at = reload.last_at ?? reload.at ?? reload.last_success_at;
  say($("reload"), reload.last_error ? `The latest reload changed nothing: ${reload.last_error}` : at ? `Loaded again ${ago(at)}.` : "Loaded at the start, not again since.");
}

// Ten minutes as soon as there is more than two of them to see, unless somebody has chosen.
function setRange(seconds) {
  if (range === seconds) return;
  range = seconds;
  for (const input of document.querySelectorAll("[name=range]")) input.checked = Number(input.value) === seconds;
}

async function act(button, path, said) {
  button.disabled = true;
  try {
    await ask(path, { method: "POST" });
    say($("renew-said"), said);
  } catch (error) {
    say($("renew-said"), [error.message, error.hint].filter(Boolean).join(". "));
  }
  button.disabled = false;
}
$("renew").addEventListener("click", () => act($("renew"), "renew", "Asked for. The current token serves until the new one is there."));
$("resume").addEventListener("click", () => act($("resume"), "resume", ""));
$("pause").addEventListener("click", () => { $("confirm").returnValue = ""; $("confirm").showModal(); });
$("confirm").addEventListener("close", () => { if ($("confirm").returnValue === "yes") act($("pause"), "pause", ""); });
$("defaults").addEventListener("change", () => renderConfiguration());
for (const input of document.querySelectorAll("[name=range]")) {
  input.addEventListener("change", () => { chosenRange = true; range = Number(input.value); render(); });
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) render(); });
startedAt = Date.now();
render();
poll();
