// A field over a plane: one pixel of an image a value, stretched, with a colour bar.

// Red and blue of ColorBrewer's RdBu and matplotlib's viridis; both are safe for the colour-blind.
const DIVERGING = ["#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"];
const SEQUENTIAL = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const channels = (colour) => [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));

/** Range of colours of some fields: centred at zero where values of both signs matter. */
function shadesOf(fields) {
  let [low, high] = [Infinity, -Infinity];
  for (const field of fields) {
    for (const row of list(field.values)) {
      for (const v of list(row)) {
        if (isNumber(v)) {
          low = Math.min(low, v);
          high = Math.max(high, v);
        }
      }
    }
  }
  if (low > high) return null;
  const signed = low < -0.05 * high && high > -0.05 * low;
  if (signed) {
    high = Math.max(high, -low);
    low = -high;
  }
  if (low === high) high = low + (Math.abs(low) || 1) * 1e-3;
  const stops = (signed ? DIVERGING : SEQUENTIAL).map(channels);
  return {
    low, high,
    css: signed ? DIVERGING : SEQUENTIAL,
    of: (v) => {
      const at = Math.max(0, Math.min(1, (v - low) / (high - low))) * (stops.length - 1);
      const k = Math.min(stops.length - 2, Math.floor(at));
      return stops[k].map((c, j) => c + (stops[k + 1][j] - c) * (at - k));
    },
  };
}

function paint(field, shades) {
  const rows = list(field.values);
  const wide = Math.max(0, ...rows.map((r) => list(r).length));
  if (!rows.length || !wide || !shades) return null;
  const canvas = h("canvas", { width: wide, height: rows.length });
  const context = canvas.getContext("2d");
  const image = context.createImageData(wide, rows.length);
  rows.forEach((row, r) => {
    for (let c = 0; c < wide; c++) {
      const colour = isNumber(list(row)[c]) ? shades.of(row[c]) : [150, 150, 150];
      image.data.set([...colour, 255], 4 * ((rows.length - 1 - r) * wide + c));
    }
  });
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

let gradients = 0;

/** The field as an SVG in a host, and what it is under the pointer. */
function heatMap(host, field, shades, label) {
  const image = paint(field, shades);
  if (!image) {
    host.replaceChildren(nothing("Nothing yet."));
    return;
  }
  const range = (pair, n) => (isNumber(pair?.[0]) && isNumber(pair?.[1]) ? pair : [0, n]);
  const rows = field.values.length;
  const wide = Math.max(...field.values.map((r) => r.length));
  const [xs, ys] = [range(field.x_range, wide), range(field.y_range, rows)];
  const [width, height, top] = [340, 290, 26];
  const bottom = height - 38;
  const y = makeScale(false, ys[0], ys[1], bottom, top);
  const ticksY = ticksOf(y, 40);
  const left = 16 + Math.max(14, ...ticksY.map(([, t]) => t.length * 6.4));
  const bar = makeScale(false, shades.low, shades.high, bottom, top);
  const barTicks = ticksOf(bar, 40);
  const right = width - 30 - Math.max(...barTicks.map(([, t]) => t.length * 6.4));
  const x = makeScale(false, xs[0], xs[1], left, right);
  const id = `shades-${++gradients}`;
  let s = `<linearGradient id="${id}" x1="0" y1="1" x2="0" y2="0">${shades.css.map((c, k) => `<stop offset="${k / (shades.css.length - 1)}" stop-color="${c}"/>`).join("")}</linearGradient>`;
  s += `<image href="${image}" x="${left}" y="${top}" width="${right - left}" height="${bottom - top}" preserveAspectRatio="none"/>`;
  s += `<rect x="${right + 10}" y="${top}" width="9" height="${bottom - top}" fill="url(#${id})"/>`;
  for (const [t, say] of ticksOf(x, 60)) s += `<text class="tick" x="${round(x.pixel(t))}" y="${bottom + 16}" text-anchor="middle">${say}</text>`;
  for (const [t, say] of ticksY) s += `<text class="tick" x="${left - 6}" y="${round(y.pixel(t)) + 4}" text-anchor="end">${say}</text>`;
  for (const [t, say] of barTicks) s += `<text class="tick" x="${right + 23}" y="${round(bar.pixel(t)) + 4}">${say}</text>`;
  s += `<text class="axis-label" x="${right}" y="${height - 5}" text-anchor="end">${escapeText(text(field.x))}</text>`;
  s += `<text class="axis-label" x="4" y="13">${escapeText(text(field.y))}</text>`;
  s += `<text class="axis-label" x="${width - 4}" y="13" text-anchor="end">${escapeText(text(field.quantity))}</text>`;
  s += `<rect class="frame-line" x="${left}" y="${top}" width="${right - left}" height="${bottom - top}"/>`;
  host.className = "plot field";
  host.innerHTML = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(label)}, from ${number(shades.low)} to ${number(shades.high)}">${s}</svg>`;
  const svg = host.firstChild;
  svg.addEventListener("pointermove", (event) => {
    const rect = svg.getBoundingClientRect();
    const scale = width / rect.width;
    const at = [(event.clientX - rect.left) * scale, (event.clientY - rect.top) * scale];
    const c = Math.floor(((at[0] - left) / (right - left)) * wide);
    const r = Math.floor(((bottom - at[1]) / (bottom - top)) * rows);
    const value = field.values[r]?.[c];
    tip.hidden = value === undefined;
    if (tip.hidden) return;
    tip.replaceChildren(h("div", null, `${text(field.quantity)} ${isNumber(value) ? number(value) : "not finite"}`),
      h("div", { class: "tip-head" }, `${text(field.x)} ${number(x.value(at[0]), 3)}, ${text(field.y)} ${number(y.value(at[1]), 3)}`));
    tip.style.transform = `translate(${Math.round(Math.min(event.clientX + 16, innerWidth - 190))}px, ${Math.round(event.clientY + 14)}px)`;
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
}
