// From samples to the outline of a curve.

/** First place in ascending xs with a value of at least x. */
function firstAtLeast(xs, x) {
  let [low, high] = [0, xs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The place whose x is nearest; -1 in an empty list. */
function nearest(xs, x) {
  const k = firstAtLeast(xs, x);
  if (k === 0) return xs.length ? 0 : -1;
  if (k === xs.length) return k - 1;
  return x - xs[k - 1] <= xs[k] - x ? k - 1 : k;
}

/** Line through the points, interrupted where a value cannot be shown. Of samples with ascending x
 * that are denser than the pixels, at most four are kept in one column of them (first, lowest, highest,
 * last), which looks the same: thousands cost no more than the width of the chart. */
function outline(xs, ys, x, y, ascending = true) {
  const [from, to] = ascending
    ? [Math.max(0, firstAtLeast(xs, x.low) - 1), Math.min(xs.length, firstAtLeast(xs, x.high) + 1)]
    : [0, xs.length];
  const dense = ascending && to - from > 2 * Math.abs(x.end - x.start);
  let d = "";
  let open = false;
  let column = NaN;
  let [low, high, last] = [NaN, NaN, NaN];
  const far = 4 * Math.abs(y.end - y.start);
  const limit = (p) => round(Math.max(y.end - far, Math.min(y.start + far, p)));
  const flush = () => {
    if (low !== last) d += `L${column} ${limit(low)}`;
    if (high !== last) d += `L${column} ${limit(high)}`;
    if (low !== last || high !== last) d += `L${column} ${limit(last)}`;
  };
  for (let k = from; k < to; k++) {
    const value = ys[k];
    if (!Number.isFinite(value) || (y.log && value <= 0) || !Number.isFinite(xs[k])) {
      if (open) flush();
      open = false;
      continue;
    }
    const exact = x.pixel(xs[k]);
    const px = dense ? Math.round(exact) : round(exact);
    const py = y.pixel(value);
    if (open && dense && px === column) {
      if (py < low) low = py;
      if (py > high) high = py;
      last = py;
      continue;
    }
    if (open) flush();
    d += `${open ? "L" : "M"}${px} ${limit(py)}`;
    open = true;
    column = px;
    low = high = last = py;
  }
  if (open) flush();
  return d;
}

/** Points with nothing finite beside them, which a line would not show. */
function lonely(ys) {
  const places = [];
  const there = (k) => Number.isFinite(ys[k]);
  for (let k = 0; k < ys.length; k++) if (there(k) && !there(k - 1) && !there(k + 1)) places.push(k);
  return places;
}

/** Exponential moving average of weight w, of logarithms where the axis is one; gaps stay gaps. */
function smoothed(ys, w, log) {
  if (!w) return ys;
  const result = new Float64Array(ys.length);
  let [sum, mass] = [0, 0];
  for (let k = 0; k < ys.length; k++) {
    const usable = Number.isFinite(ys[k]) && (!log || ys[k] > 0);
    if (!usable) {
      result[k] = NaN;
      continue;
    }
    sum = w * sum + (1 - w) * (log ? Math.log10(ys[k]) : ys[k]);
    mass = w * mass + (1 - w);
    result[k] = log ? 10 ** (sum / mass) : sum / mass;
  }
  return result;
}
