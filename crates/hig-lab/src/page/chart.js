// A chart: curves over an axis, as SVG. Why SVG and why our own: the colours stay variables of the
// style sheet (light, dark and paper without drawing again), paper gets outlines instead of pixels,
// every curve is an element that tests and screen readers find; and thinned to the columns of pixels
// (path.js), curves cost no more than on a canvas.

const charts = new Set();

/** Charts waiting to be drawn; those that can be seen go first, a few milliseconds a frame. */
const waiting = new Set();
let drawing = false;

function drawSoon(chart) {
  waiting.add(chart);
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(drawSome);
}

function drawSome() {
  const start = performance.now();
  // Beside a run at work what nobody sees is drawn when it comes into sight.
  const wanted = (chart) => chart.visible || !chart.drawnAt || !model?.live;
  const queue = [...waiting].filter(wanted).sort((a, b) => b.visible - a.visible);
  let left = queue.length;
  for (const chart of queue) {
    if (performance.now() - start > 8) break;
    waiting.delete(chart);
    chart.draw();
    left--;
  }
  drawing = left > 0;
  if (drawing) requestAnimationFrame(drawSome);
}

const watched = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.chart.visible = isIntersecting;
    if (isIntersecting && waiting.has(target.chart)) drawSoon(target.chart);
  }
}, { rootMargin: "200px" });

const onPaper = matchMedia("print");

const sized = new ResizeObserver((entries) => {
  if (onPaper.matches) return;
  for (const { target } of entries) {
    if (target.chart.drawnAt !== target.clientWidth) drawSoon(target.chart);
  }
});

class Chart {
  /** A chart in a box; `ratio` is height over width, `training` says that x is the time of training,
   * which all such charts share. */
  constructor(host, { label, ratio = 0.62, lowest = 190, highest = 380, training = false, paper = 340 }) {
    Object.assign(this, { host, label, ratio, lowest, highest, training, paper });
    this.visible = true;
    this.zoomX = null;
    this.zoomY = null;
    this.make = null;
    host.classList.add("plot");
    host.innerHTML = `<svg tabindex="0" role="img"><g class="back"></g><g class="curves"></g><g class="over" aria-hidden="true"></g></svg>`;
    host.chart = this;
    this.svg = host.firstChild;
    this.reset = h("button", { type: "button", class: "quiet reset", title: "Show everything again (double click)", click: () => this.resetZoom() }, "Reset zoom");
    this.reset.hidden = true;
    host.append(this.reset);
    listenToPointer(this);
    listenToKeys(this);
    charts.add(this);
    watched.observe(host);
    sized.observe(host);
  }

  /** What to show, as a function, so that charts out of sight cost nothing until their turn. */
  set(make) {
    this.make = make;
    drawSoon(this);
  }

  rangeX() {
    return this.training ? view.zoom : this.zoomX;
  }

  zoom(x, y) {
    if (x) {
      if (this.training) view.zoom = x;
      else this.zoomX = x;
    }
    if (y) this.zoomY = y;
    this.zoomed();
  }

  resetZoom() {
    if (this.training) view.zoom = null;
    this.zoomX = this.zoomY = null;
    this.zoomed();
  }

  zoomed() {
    for (const chart of charts) if (chart === this || (this.training && chart.training)) drawSoon(chart);
  }

  draw(width = this.host.clientWidth, highest = this.highest) {
    if (!this.make || width < 40) return;
    this.drawnAt = width;
    const content = this.make();
    const height = Math.round(Math.max(this.lowest, Math.min(highest, width * this.ratio)));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.reset.hidden = !this.rangeX() && !this.zoomY;
    const layout = lay(content, this, width, height);
    this.layout = layout;
    const [back, front, over] = this.svg.children;
    over.replaceChildren();
    if (!layout) {
      back.innerHTML = `<text class="empty" x="${width / 2}" y="${height / 2}" text-anchor="middle">${escapeText(content.empty ?? "Nothing yet.")}</text>`;
      front.replaceChildren();
      this.svg.setAttribute("aria-label", `${this.label}: ${content.empty ?? "nothing yet"}`);
      return;
    }
    back.innerHTML = frame(layout, width, height);
    front.innerHTML = drawCurves(layout, this);
    this.svg.setAttribute("aria-label", describe(this.label, layout));
    if (this.pointed) this.pointed();
  }
}

/** Lowest and highest of what may be shown. */
function extent(series, content, chart) {
  const range = chart.rangeX() ?? content.x.range;
  const bounds = { x: [Infinity, -Infinity], y: [Infinity, -Infinity], positive: [Infinity, -Infinity], zero: false, negative: false };
  const take = (pair, v) => {
    if (v < pair[0]) pair[0] = v;
    if (v > pair[1]) pair[1] = v;
  };
  const takeX = (v) => {
    if (!Number.isFinite(v)) return;
    if (content.x.log && v <= 0) bounds.zero = true;
    else take(bounds.x, v);
  };
  const takeY = (v) => {
    if (!Number.isFinite(v)) return;
    take(bounds.y, v);
    if (v > 0) take(bounds.positive, v);
    else bounds.negative = true;
  };
  for (const s of series) {
    const n = s.x.length;
    for (let k = 0; k < n; k++) {
      const v = s.y[k];
      if (!Number.isFinite(v)) continue;
      takeX(s.x[k]);
      if (s.aside || (range && (s.x[k] < range[0] || s.x[k] > range[1]))) continue;
      takeY(v);
      if (s.low) {
        takeY(s.low[k]);
        takeY(s.high[k]);
      }
    }
  }
  for (const v of list(content.x.span)) takeX(v);
  for (const p of list(content.points)) {
    takeX(p.x);
    takeY(p.y);
  }
  return bounds;
}

/** Scales, ticks and the rest that follows from content and size; null where nothing can be shown. */
function lay(content, chart, width, height) {
  const series = content.series;
  const bounds = extent(series, content, chart);
  if (bounds.x[0] > bounds.x[1] && !bounds.zero) return null;
  if (bounds.x[0] > bounds.x[1]) bounds.x = [1, 1];
  let log = content.y.log;
  if (log === "auto") log = !bounds.negative && bounds.positive[1] > 1e3 * bounds.positive[0];
  if (!(bounds.positive[0] <= bounds.positive[1])) log = false;
  let y = chart.zoomY ?? widen(log, ...(log ? bounds.positive : bounds.y), log ? 0.05 : 0.07);
  if (!(y[0] <= y[1])) y = [0, 1];
  if (log && !(y[0] > 0)) y = [bounds.positive[0], Math.max(y[1], bounds.positive[0] * 10)];
  const logX = content.x.log === true;
  const zero = logX && bounds.zero ? bounds.x[0] / 2 : NaN;
  let x = chart.rangeX() ?? content.x.range;
  if (!x) {
    x = [logX && bounds.zero ? zero : bounds.x[0], bounds.x[1]];
    if (x[0] === x[1]) x = widen(logX, x[0], x[1], 0);
    if (content.x.air) x = widen(logX, x[0], x[1], content.x.air);
  }
  if (logX && !(x[0] > 0)) x = [zero || bounds.x[0], Math.max(x[1], 2 * bounds.x[0])];
  const [top, bottom] = [content.y.label ? 26 : 10, height - (content.x.label ? 38 : 24)];
  const scaleY = makeScale(log, y[0], y[1], bottom, top);
  const ticksY = ticksOf(scaleY, 30).filter(([t]) => t >= y[0] && t <= y[1]);
  const left = 16 + Math.max(14, ...ticksY.map(([, label]) => label.length * 6.4));
  const scaleX = makeScale(logX, x[0], x[1], left, width - 14, zero);
  const ticksX = ticksOf(scaleX, 64).filter(([t]) => t >= x[0] && t <= x[1]);
  return { content, series, x: scaleX, y: scaleY, ticksX, ticksY, left, right: width - 14, top, bottom };
}

/** Grid, ticks and labels. */
function frame(l, width, height) {
  let s = "";
  const upright = (v, kind) => `<path class="${kind}" d="M${round(l.x.pixel(v))} ${l.top}V${l.bottom}"/>`;
  const level = (v, kind) => `<path class="${kind}" d="M${l.left} ${round(l.y.pixel(v))}H${l.right}"/>`;
  for (const t of minorTicks(l.x)) s += upright(t, "faint");
  for (const t of minorTicks(l.y)) s += level(t, "faint");
  let until = -Infinity;
  for (const [t, label] of l.ticksX) {
    const at = l.x.pixel(t);
    s += upright(t, "rule");
    const half = label.length * 3.2;
    if (at - half < until + 8 || at + half > width) continue;
    until = at + half;
    s += `<text class="tick" x="${round(at)}" y="${l.bottom + 16}" text-anchor="middle">${label}</text>`;
  }
  for (const [t, label] of l.ticksY) {
    s += `${level(t, "rule")}<text class="tick" x="${l.left - 7}" y="${round(l.y.pixel(t)) + 4}" text-anchor="end">${label}</text>`;
  }
  s += `<path class="axis" d="M${l.left} ${l.top}V${l.bottom}H${l.right}"/>`;
  if (l.content.x.label) s += `<text class="axis-label" x="${l.right}" y="${height - 5}" text-anchor="end">${escapeText(l.content.x.label)}</text>`;
  if (l.content.y.label) s += `<text class="axis-label" x="4" y="13">${escapeText(l.content.y.label)}</text>`;
  return s;
}

let clips = 0;

/** Bands, curves and marks. */
function drawCurves(l, chart) {
  chart.clip ??= `clip-${++clips}`;
  let s = `<clipPath id="${chart.clip}"><rect x="${l.left}" y="${l.top - 2}" width="${Math.max(0, l.right - l.left + 2)}" height="${Math.max(0, l.bottom - l.top + 4)}"/></clipPath><g clip-path="url(#${chart.clip})">`;
  for (const line of list(l.content.lines)) {
    const at = round(l.x.pixel(line.x));
    s += `<path class="phase" stroke="${line.style.colour}" d="M${at} ${l.top}V${l.bottom}"/>`;
  }
  for (const c of l.series) if (c.low) s += band(c, l);
  for (const c of l.series) {
    const key = escapeText(c.key);
    const line = (ys, kind) =>
      `<path class="${kind}" data-key="${key}" stroke="${c.style.colour}" stroke-dasharray="${c.style.dash}" d="${outline(c.x, ys, l.x, l.y, c.ascending !== false)}"/>`;
    if (c.raw) s += line(c.raw, "raw");
    s += line(c.y, c.ghost ? "curve ghost" : "curve");
    if (!c.ghost) s += dots(c, l, key);
  }
  s += "</g>";
  for (const line of list(l.content.lines)) {
    const at = l.x.pixel(line.x);
    if (at < l.left || at > l.right) continue;
    const end = at > (l.left + l.right) / 2;
    s += `<text class="phase-label" x="${round(at) + (end ? -4 : 4)}" y="${l.top + 10}" text-anchor="${end ? "end" : "start"}">${escapeText(line.label)}</text>`;
  }
  for (const m of list(l.content.crosses)) s += cross(m, l);
  for (const p of list(l.content.points)) s += point(p, l);
  return s;
}

/** The area between two curves. */
function band(c, l) {
  const places = [];
  for (let k = 0; k < c.x.length; k++) if (Number.isFinite(c.low[k]) && Number.isFinite(c.high[k])) places.push(k);
  const step = Math.max(1, Math.floor(places.length / (l.right - l.left)));
  const kept = places.filter((_, i) => i % step === 0 || i === places.length - 1);
  const at = (k, ys) => `${round(l.x.pixel(c.x[k]))} ${round(l.y.pixel(l.y.log ? Math.max(ys[k], l.y.low) : ys[k]))}`;
  if (kept.length < 2) return "";
  const there = kept.map((k) => at(k, c.high)).join("L");
  const back = kept.reverse().map((k) => at(k, c.low)).join("L");
  return `<path class="band" data-key="${escapeText(c.key)}" fill="${c.style.colour}" d="M${there}L${back}Z"/>`;
}

/** Symbols along a curve, and dots where a sample stands alone. */
function dots(c, l, key) {
  let d = "";
  if (c.x.length < 4000) for (const k of lonely(c.y)) d += symbolPath(0, l.x.pixel(c.x[k]), l.y.pixel(c.y[k]), 2.2);
  if (c.style.symbol !== null && c.ascending !== false) {
    for (let p = l.left + 18 + 9 * c.style.symbol; p < l.right; p += 92) {
      const k = nearest(c.x, l.x.value(p));
      if (k < 0 || !Number.isFinite(c.y[k]) || (l.y.log && c.y[k] <= 0)) continue;
      const at = l.x.pixel(c.x[k]);
      if (Math.abs(at - p) < 46) d += symbolPath(c.style.symbol, at, l.y.pixel(c.y[k]), 3.6);
    }
  }
  return d && `<path class="dots" data-key="${key}" fill="${c.style.colour}" d="${d}"/>`;
}

/** Where a curve ends because its numbers did. */
function cross(m, l) {
  const x = l.x.pixel(m.x);
  const y = Math.max(l.top + 6, Math.min(l.bottom - 6, l.y.pixel(m.y)));
  if (!(x >= l.left - 1 && x <= l.right + 1) || !Number.isFinite(y)) return "";
  return `<g class="cross" data-key="${escapeText(m.key)}"><title>${escapeText(m.title)}</title><circle cx="${round(x)}" cy="${round(y)}" r="7"/><path stroke="${m.style.colour}" d="M${round(x - 4)} ${round(y - 4)}l8 8m0 -8l-8 8"/></g>`;
}

/** A labelled point. */
function point(p, l) {
  const [x, y] = [l.x.pixel(p.x), l.y.pixel(p.y)];
  if (!(x >= l.left - 1 && x <= l.right + 1 && y >= l.top - 1 && y <= l.bottom + 1)) return "";
  const end = x > l.right - 70;
  const colour = p.style?.colour ?? "var(--ink)";
  const key = p.key ? ` data-key="${escapeText(p.key)}"` : "";
  const mark = symbolPath(p.symbol ?? 3, x, y, p.size ?? 4.5);
  // A ring with a line down to its place on the axis.
  if (p.drop) return `<g class="drop"${key} stroke="${colour}"><path d="M${round(x)} ${round(y) + 5}V${l.bottom}"/><path class="ring" d="${mark}" fill="var(--card)"/></g>`;
  return `<g class="point"${key}><path d="${mark}" fill="${colour}"/>${p.label ? `<text x="${round(x) + (end ? -8 : 8)}" y="${round(y) - 7}" text-anchor="${end ? "end" : "start"}">${escapeText(p.label)}</text>` : ""}</g>`;
}

/** The chart in words, for those who hear it. */
function describe(label, l) {
  const lines = l.series.filter((s) => !s.ghost).slice(0, 12).map((s) => {
    let k = s.y.length - 1;
    while (k > 0 && !Number.isFinite(s.y[k])) k--;
    return `${s.label} ends at ${number(s.y[k])}`;
  });
  return `${label} over ${l.content.x.label || "x"}${l.y.log ? ", logarithmic" : ""}. ${lines.join("; ")}. Arrow keys read values.`;
}

/** A box with a heading around a chart. */
function chartCard(title, note, options = {}) {
  const host = h("div");
  const actions = h("div", { class: "actions" });
  const small = h("span", { class: "note" }, note ?? "");
  const card = h("figure", { class: `card ${options.class ?? ""}` },
    h("figcaption", null, h("h3", null, title), small, actions), host);
  const chart = new Chart(host, { label: title, ...options });
  card.chart = chart;
  chart.card = card;
  chart.actions = actions;
  chart.note = (words) => { small.textContent = words; };
  return card;
}

/** Takes a chart away for good. */
function dropChart(card) {
  charts.delete(card.chart);
  waiting.delete(card.chart);
  watched.unobserve(card.chart.host);
  sized.unobserve(card.chart.host);
  card.remove();
}

/** Makes the cards that are wanted, in this order, from [id, make, draw], and drops the others. */
function showCards(host, cards, wanted) {
  const ids = new Set(wanted.map(([id]) => id));
  for (const [id, card] of cards) {
    if (!ids.has(id)) {
      dropChart(card);
      cards.delete(id);
    }
  }
  wanted.forEach(([id, make, draw], k) => {
    let card = cards.get(id);
    if (!card) {
      card = make();
      cards.set(id, card);
    }
    if (host.children[k] !== card) host.insertBefore(card, host.children[k] ?? null);
    draw(card);
  });
}

// Paper has a width of its own: all charts are drawn for it, those out of sight too.
function toPaper() {
  waiting.clear();
  for (const chart of charts) chart.draw(chart.paper, Math.min(chart.highest, 320));
}
function fromPaper() {
  for (const chart of charts) {
    chart.drawnAt = 0;
    drawSoon(chart);
  }
}
addEventListener("beforeprint", toPaper);
addEventListener("afterprint", fromPaper);
onPaper.addEventListener("change", (e) => (e.matches ? toPaper() : fromPaper()));
