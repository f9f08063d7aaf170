// Charts in SVG, of the samples that the proxy took.

const LEFT = 44, RIGHT = 2, TOP = 8, BOTTOM = 22;
// Samples that are further apart than this have a gap between them.
const GAP_MS = 3500;

// What the charts share: the samples, the stretch of time, and the moment under the pointer.
const samples = { at_ms: [] };
let range = 60;
let moment = null;

class Chart {
  constructor(figure, { name, series, log, format, draw, empty }) {
    Object.assign(this, { name, series, log, format, draw, empty });
    this.svg = s("svg", { "aria-hidden": "true" });
    this.note = h("p", { class: "empty" });
    this.plot = h("div", { class: "plot", tabindex: 0, role: "slider", "aria-label": `${name}: moment`, "aria-valuemin": 0 }, this.svg, this.note);
    this.values = series.map(() => h("dd"));
    this.when = h("p", { class: "moment" });
    const key = h("dl", { class: "key" }, series.map((own, place) => h("div", {}, h("dt", { class: `t-${own.tint} ${own.thin ? "thin" : ""}` }, own.name), this.values[place])));
    figure.append(h("div", { class: "legend" }, key, this.when), this.plot);
    new ResizeObserver(() => this.render()).observe(this.plot);
    this.plot.addEventListener("pointermove", (event) => point(this.at(event)));
    this.plot.addEventListener("pointerleave", () => point(null));
    this.plot.addEventListener("blur", () => point(null));
    this.plot.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Escape") point(null);
      if (steps === undefined) return;
      event.preventDefault();
      const last = samples.at_ms.length - 1;
      const place = Math.min(last, Math.max(first(), (placeOf(moment) ?? last) + steps));
      point(samples.at_ms[place] ?? null);
    });
  }

  at(event) {
    const box = this.plot.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    const time = end() - range * 1000 * (1 - share);
    return samples.at_ms.reduce((best, own) => (Math.abs(own - time) < Math.abs(best - time) ? own : best), samples.at_ms[0] ?? null);
  }

  render() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (!width) return;
    const from = first(), to = samples.at_ms.length;
    const x = (time) => width - RIGHT - ((end() - time) / (range * 1000)) * (width - LEFT - RIGHT);
    const { ticks, y, top } = (this.log ? logScale : linearScale)(this.highest(from, to), height - TOP - BOTTOM);
    const rules = ticks.map((tick) => [
      s("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: TOP + y(tick), y2: TOP + y(tick) }),
      s("text", { x: LEFT - 8, y: TOP + y(tick) + 4, "text-anchor": "end" }, this.format(tick)),
    ]);
    const times = [1, 0.5, 0].map((share) => s("text", { x: x(end() - range * 1000 * share), y: height - 4, "text-anchor": share === 1 ? "start" : share ? "middle" : "end" }, share ? ago_label(range * share) : "now"));
    const marks = this.draw({ x, y: (value) => TOP + y(Math.min(value, top)), from, to });
    const cross = moment !== null && moment >= samples.at_ms[from] ? s("line", { class: "cross", x1: x(moment), x2: x(moment), y1: TOP, y2: height - BOTTOM }) : null;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren(...[rules, times, marks, cross].flat(3).filter(Boolean));
    say(this.note, this.hasData(from, to) ? "" : this.empty);
    this.tell(from, to);
  }

  tell(from, to) {
    const place = placeOf(moment) ?? to - 1;
    const values = this.series.map((own) => (samples[own.column] ?? [])[place]);
    values.forEach((value, index) => say(this.values[index], this.format(value, true)));
    say(this.when, moment === null ? "" : clock(moment));
    this.plot.setAttribute("aria-valuemax", Math.max(0, to - 1 - from));
    this.plot.setAttribute("aria-valuenow", Math.max(0, place - from));
    const said = this.series.map((own, index) => `${own.name} ${this.format(values[index], true)}`).join(", ");
    this.plot.setAttribute("aria-valuetext", to ? `${moment === null ? "now" : clock(moment)}: ${said}` : this.empty);
  }

  hasData(from, to) {
    return this.series.some((own) => (samples[own.column] ?? []).slice(from, to).some((value) => value));
  }

  highest(from, to) {
    const columns = this.series.map((own) => samples[own.column] ?? []);
    const at = (place) => (this.log ? Math.max(...columns.map((own) => own[place] ?? 0)) : columns.reduce((sum, own) => sum + (own[place] ?? 0), 0));
    let highest = 0;
    for (let place = from; place < to; place++) highest = Math.max(highest, at(place));
    return highest;
  }
}

const charts = [];
function point(time) {
  moment = time;
  charts.forEach((chart) => chart.render());
}
const end = () => samples.at_ms.at(-1) ?? Date.now() + skew;
const first = () => Math.max(0, samples.at_ms.findIndex((time) => time > end() - range * 1000));
const placeOf = (time) => (time === null || !samples.at_ms.includes(time) ? undefined : samples.at_ms.indexOf(time));
const ago_label = (seconds) => (seconds < 60 ? `${seconds} s ago` : `${seconds / 60} min ago`);

function linearScale(highest, height) {
  const wanted = Math.max(highest, 2) / 3;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((own) => own >= wanted);
  const top = step * Math.max(1, Math.ceil(highest / step - 1e-9));
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, place) => place * step);
  return { ticks, top, y: (value) => height * (1 - value / top) };
}
// Decades, from 10 µs: what a proxy adds, and what an API takes, are four of them apart.
function logScale(highest, height) {
  const low = -2, high = Math.max(2, Math.ceil(Math.log10(Math.max(highest, 1)) - 1e-9));
  const ticks = Array.from({ length: high - low + 1 }, (_, place) => 10 ** (low + place));
  const y = (value) => height * (1 - (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low));
  return { ticks, top: 10 ** high, y };
}

// Runs of samples without a gap and without a missing value.
function runs(columns, from, to) {
  const found = [];
  let run = [];
  for (let place = from; place < to; place++) {
    const isWhole = columns.every((own) => own[place] !== null && own[place] !== undefined);
    const isNear = place === from || samples.at_ms[place] - samples.at_ms[place - 1] < GAP_MS;
    if (run.length && !(isWhole && isNear)) { found.push(run); run = []; }
    if (isWhole) run.push(place);
  }
  return run.length ? [...found, run] : found;
}
const path = (points) => points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("") + (points.length === 1 ? "h0.01" : "");

// Areas on top of each other, the last of the series at the bottom: there its height can be read.
function stacked(series) {
  return ({ x, y, from, to }) => {
    const columns = series.map((own) => samples[own.column] ?? []);
    const marks = [];
    for (const run of runs(columns, from, to)) {
      let below = run.map(() => 0);
      series.forEach((_, place) => {
        const layer = series.length - 1 - place, own = columns[layer];
        const above = run.map((place, index) => below[index] + own[place]);
        const tint = series[layer].tint;
        for (const [start, stop] of layer ? stretches(run, own) : [[0, run.length]]) {
          const at = (values) => values.slice(start, stop).map((value, index) => [x(samples.at_ms[run[start + index]]), y(value)]);
          marks.push(s("path", { class: `area t-${tint}`, opacity: layer ? 1 : 0.22, d: `${path([...at(above), ...at(below).toReversed()])}Z` }));
          marks.push(s("path", { class: `line t-${tint}`, d: path(at(above)) }));
        }
        below = above;
      });
    }
    return marks;
  };
}
// Where a layer has something, with one sample on each side: one request in a thousand must be seen as well.
function stretches(run, own) {
  const found = [];
  run.forEach((place, index) => {
    if (!(own[place] > 0)) return;
    const latest = found.at(-1);
    if (latest && latest[1] >= index) latest[1] = Math.min(run.length, index + 2);
    else found.push([Math.max(0, index - 1), Math.min(run.length, index + 2)]);
  });
  return found;
}
// A band from the middle percentile to the high one, for each pair.
function bands(pairs) {
  return ({ x, y, from, to }) => pairs.flatMap(([middle, high, tint]) => {
    const columns = [samples[middle] ?? [], samples[high] ?? []];
    return runs(columns, from, to).flatMap((run) => {
      const points = columns.map((own) => run.map((place) => [x(samples.at_ms[place]), y(own[place])]));
      const band = run.length > 1 ? `${path([...points[0], ...points[1].toReversed()])}Z` : "";
      return [
        s("path", { class: `band t-${tint}`, d: band }),
        s("path", { class: `line light t-${tint}`, d: path(points[1]) }),
        s("path", { class: `line t-${tint}`, d: path(points[0]) }),
      ];
    });
  });
}
// A line without axes, of the same stretch of time.
function spark(column, tint) {
  const own = samples[column] ?? [], from = first(), to = samples.at_ms.length;
  const top = Math.max(0.5, ...own.slice(from));
  const x = (time) => 200 - ((end() - time) / (range * 1000)) * 200;
  const lines = runs([own], from, to).map((run) => s("path", { class: `line t-${tint}`, d: path(run.map((place) => [x(samples.at_ms[place]), 22 - (own[place] / top) * 20])), "vector-effect": "non-scaling-stroke" }));
  return s("svg", { viewBox: "0 0 200 24", preserveAspectRatio: "none", "aria-hidden": "true" }, s("line", { class: "base", x1: 0, x2: 200, y1: 23, y2: 23, "vector-effect": "non-scaling-stroke" }), lines);
}
