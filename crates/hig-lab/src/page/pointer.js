// Crosshair, values and zoom: by mouse, finger and keys.

const tip = byId("tip");

/** Values of all curves at the point of each that is nearest to x. */
function valuesAt(layout, x) {
  const found = [];
  for (const s of layout.series) {
    if (s.ghost || s.ascending === false) continue;
    const k = nearest(s.x, x);
    if (k < 0) continue;
    // A curve that ended long before says nothing about this x.
    const off = Math.abs(layout.x.pixel(s.x[k]) - layout.x.pixel(x));
    if (off > 24 && (x > s.x[s.x.length - 1] || x < s.x[0])) continue;
    found.push({ series: s, x: s.x[k], y: s.y[k], raw: s.raw?.[k], low: s.low?.[k], high: s.high?.[k] });
  }
  return found.sort((a, b) => (Number.isFinite(b.y) ? b.y : Infinity) - (Number.isFinite(a.y) ? a.y : Infinity));
}

/** Of curves that come back to the same x, the point nearest to the pointer. */
function pointsNear(layout, px, py) {
  const found = [];
  for (const s of layout.series) {
    if (s.ghost || s.ascending !== false) continue;
    let [at, least] = [-1, 30 ** 2];
    for (let k = 0; k < s.x.length; k++) {
      const d = (layout.x.pixel(s.x[k]) - px) ** 2 + (layout.y.pixel(s.y[k]) - py) ** 2;
      if (d < least) [at, least] = [k, d];
    }
    if (at >= 0) found.push({ series: s, x: s.x[at], y: s.y[at], told: s.told?.(at) });
  }
  return found;
}

/** Draws line and dots; returns what they stand for. */
function crosshair(chart, x, px, py) {
  const { layout, svg } = chart;
  const over = svg.children[2];
  if (!layout) return [];
  const found = [...valuesAt(layout, x), ...(py === null ? [] : pointsNear(layout, px, py))];
  const at = layout.x.pixel(x);
  const inside = at >= layout.left - 1 && at <= layout.right + 1;
  let s = inside ? `<path class="hair" d="M${round(at)} ${layout.top}V${layout.bottom}"/>` : "";
  for (const f of found) {
    const [cx, cy] = [layout.x.pixel(f.x), layout.y.pixel(f.y)];
    if (!Number.isFinite(cy) || cx < layout.left - 1 || cx > layout.right + 1 || cy < layout.top - 3 || cy > layout.bottom + 3) continue;
    s += `<circle class="dot" cx="${round(cx)}" cy="${round(cy)}" r="3.6" fill="${f.series.style.colour}"/>`;
  }
  over.innerHTML = s;
  return found;
}

function showTip(chart, found, x, px, py) {
  if (!found.length) {
    tip.hidden = true;
    return;
  }
  const { content } = chart.layout;
  const say = content.format ?? ((v) => number(v));
  const rows = found.slice(0, 24).map((f) => h("tr", null,
    h("td", null, swatch(f.series.style)),
    h("td", null, f.series.label),
    h("td", { class: "value" }, Number.isFinite(f.y) ? say(f.y) : "not finite"),
    h("td", { class: "beside" }, f.told ?? (f.low !== undefined ? `± ${number((f.high - f.low) / 2, 3)}` : f.raw !== undefined ? `(${say(f.raw)})` : "")),
  ));
  const head = content.x.label ? `${content.x.label}: ${number(x)}` : number(x);
  tip.replaceChildren(h("div", { class: "tip-head" }, head), h("table", null, h("tbody", null, rows)));
  if (found.length > 24) tip.append(h("div", { class: "tip-head" }, `and ${found.length - 24} more`));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const rect = chart.svg.getBoundingClientRect();
  const scale = rect.width / chart.drawnAt;
  const [x0, y0] = [rect.left + px * scale, rect.top + (py ?? 20) * scale];
  const left = x0 + 18 + box.width < innerWidth ? x0 + 18 : x0 - 18 - box.width;
  const top = Math.max(6, Math.min(innerHeight - box.height - 6, y0 - box.height / 2));
  tip.style.transform = `translate(${Math.round(Math.max(4, left))}px, ${Math.round(top)}px)`;
}

/** The same x in all charts over the training. */
function share(chart, x, px, py) {
  const found = crosshair(chart, x, px, py);
  if (chart.training) {
    for (const other of charts) if (other !== chart && other.training && other.visible && other.layout) crosshair(other, x, 0, null);
  }
  showTip(chart, found, x, px, py);
  return found;
}

function leave(chart) {
  tip.hidden = true;
  chart.pointed = null;
  for (const other of charts) if (other === chart || (chart.training && other.training)) other.svg.children[2].replaceChildren();
}

function listenToPointer(chart) {
  const { svg } = chart;
  let start = null;
  let frameAsked = false;
  const place = (event) => {
    const rect = svg.getBoundingClientRect();
    const scale = chart.drawnAt / rect.width;
    return [(event.clientX - rect.left) * scale, (event.clientY - rect.top) * scale];
  };
  const inside = ([x, y]) => {
    const l = chart.layout;
    return [Math.max(l.left, Math.min(l.right, x)), Math.max(l.top, Math.min(l.bottom, y))];
  };
  /** Rectangle of a drag: a thin one reaches over the whole chart. */
  const dragged = (at) => {
    const l = chart.layout;
    let [[x0, y0], [x1, y1]] = [start, inside(at)];
    const wide = Math.abs(x1 - x0) > 8;
    const tall = Math.abs(y1 - y0) > (wide ? 32 : 8);
    if (!tall) [y0, y1] = [l.top, l.bottom];
    if (!wide) [x0, x1] = [l.left, l.right];
    return { wide, tall, x: [Math.min(x0, x1), Math.max(x0, x1)], y: [Math.min(y0, y1), Math.max(y0, y1)] };
  };
  svg.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (frameAsked || !chart.layout) return;
    frameAsked = true;
    requestAnimationFrame(() => {
      frameAsked = false;
      if (!chart.layout) return;
      if (start) {
        const r = dragged(at);
        tip.hidden = true;
        if (r.wide || r.tall) svg.children[2].innerHTML = `<rect class="chosen" x="${r.x[0]}" y="${r.y[0]}" width="${r.x[1] - r.x[0]}" height="${r.y[1] - r.y[0]}"/>`;
        return;
      }
      if (!svg.matches(":hover")) return;
      const [px, py] = at;
      chart.pointed = () => share(chart, chart.layout.x.value(inside(at)[0]), px, py);
      chart.pointed();
    });
  });
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !chart.layout) return;
    const at = place(event);
    const l = chart.layout;
    if (at[0] < l.left - 30 || at[1] > l.bottom + 30) return;
    start = inside(at);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointerup", (event) => {
    if (!start || !chart.layout) return;
    const at = place(event);
    const r = dragged(at);
    start = null;
    if (!r.wide && !r.tall) {
      // A finger has no way to hover: a tap reads the values.
      share(chart, chart.layout.x.value(inside(at)[0]), ...at);
      return;
    }
    const { x, y } = chart.layout;
    leave(chart);
    chart.zoom(r.wide ? r.x.map((p) => x.value(p)) : null, r.tall ? [y.value(r.y[1]), y.value(r.y[0])] : null);
  });
  svg.addEventListener("pointercancel", () => {
    start = null;
    leave(chart);
  });
  svg.addEventListener("pointerleave", (event) => { if (!start && event.pointerType === "mouse") leave(chart); });
  svg.addEventListener("dblclick", () => chart.resetZoom());
}

function listenToKeys(chart) {
  const { svg } = chart;
  let at = null;
  svg.addEventListener("keydown", (event) => {
    const l = chart.layout;
    if (!l || event.ctrlKey || event.metaKey || event.altKey) return;
    const width = l.right - l.left;
    const now = at ?? (l.left + l.right) / 2;
    const step = event.shiftKey ? width / 10 : width / 100;
    const zoomTo = (factor) => {
      const half = (width * factor) / 2;
      const centre = factor < 1 ? now : (l.left + l.right) / 2;
      chart.zoom([l.x.value(centre - half), l.x.value(centre + half)], null);
    };
    switch (event.key) {
      case "ArrowLeft": at = now - step; break;
      case "ArrowRight": at = now + step; break;
      case "Home": at = l.left; break;
      case "End": at = l.right; break;
      case "+": case "=": zoomTo(0.5); break;
      case "-": zoomTo(2); break;
      case "0": chart.resetZoom(); break;
      case "Escape": leave(chart); chart.resetZoom(); break;
      default: return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (at === null || event.key === "Escape") return;
    at = Math.max(l.left, Math.min(l.right, at));
    const x = l.x.value(at);
    const found = share(chart, x, at, null);
    const say = l.content.format ?? ((v) => number(v));
    byId("spoken").textContent = `${l.content.x.label ?? "x"} ${number(x)}: ${found.map((f) => `${f.series.label} ${Number.isFinite(f.y) ? say(f.y) : "not finite"}`).join(", ")}`;
  });
  svg.addEventListener("blur", () => {
    at = null;
    leave(chart);
  });
}

addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
