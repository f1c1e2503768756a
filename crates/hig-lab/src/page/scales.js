// Axes: from values to pixels and back, and where the ticks are.

/** A scale from [low, high] to the pixels [start, end]; `zero` stands in for values that a
 * logarithm cannot show. */
function makeScale(log, low, high, start, end, zero = NaN) {
  const f = log ? Math.log10 : (v) => v;
  const a = f(low);
  const slope = (end - start) / (f(high) - a || 1);
  return {
    log, low, high, start, end, zero,
    pixel: (v) => start + (f(log && v <= 0 ? zero : v) - a) * slope,
    value: (p) => {
      const u = a + (p - start) / slope;
      return log ? 10 ** u : u;
    },
  };
}

/** The range with some air on both sides; never empty. */
function widen(log, low, high, share) {
  if (log) {
    const air = Math.max((Math.log10(high) - Math.log10(low)) * share, low === high ? 0.3 : 0);
    return [low * 10 ** -air, high * 10 ** air];
  }
  const air = (high - low) * share || Math.abs(high) * 0.1 || 1;
  return [low - air, high + air];
}

function linearTicks(low, high, most) {
  const rough = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9 && ticks.length < 50; k++) ticks.push(k * step);
  const size = Math.max(Math.abs(low), Math.abs(high));
  const exponent = Math.floor(Math.log10(size));
  if (size && (exponent >= 5 || exponent < -3)) {
    const digits = Math.max(0, exponent - Math.floor(Math.log10(step) + 1e-9));
    return ticks.map((t) => [t, t === 0 ? "0" : minus(t.toExponential(Math.min(digits, 6)).replace("e+", "e"))]);
  }
  let digits = 0;
  while (digits < 8 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits++;
  return ticks.map((t) => [t, minus((t === 0 ? 0 : t).toFixed(digits))]);
}

const minus = (label) => label.replace(/-/g, MINUS);

function logTicks(low, high, most) {
  const [from, to] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const decades = to - from + 1;
  if (decades < 2) {
    const ticks = [];
    for (let k = from - 1; k <= to + 1; k++) for (const m of [1, 2, 5]) ticks.push(m * 10 ** k);
    const inside = ticks.filter((t) => t >= low * 0.999 && t <= high * 1.001);
    return inside.length >= 2 ? inside.map((t) => [t, minus(number(t, 3))]) : linearTicks(low, high, most);
  }
  const stride = Math.ceil(decades / Math.max(1, most));
  const plain = from >= -2 && to <= 4;
  const ticks = [];
  for (let k = Math.ceil(from / stride) * stride; k <= to; k += stride) {
    ticks.push([10 ** k, plain ? String(Number((10 ** k).toPrecision(1))) : powerOfTen(k)]);
  }
  return ticks;
}

/** Faint lines between the decades, where there is room for them. */
function minorTicks(scale) {
  if (!scale.log) return [];
  const decades = Math.log10(scale.high / scale.low);
  if (Math.abs(scale.end - scale.start) / decades < 48) return [];
  const ticks = [];
  for (let k = Math.floor(Math.log10(scale.low)); k <= Math.log10(scale.high); k++) {
    for (let m = 2; m < 10; m++) {
      const t = m * 10 ** k;
      if (t > scale.low && t < scale.high) ticks.push(t);
    }
  }
  return ticks;
}

function ticksOf(scale, spacing) {
  const most = Math.floor(Math.abs(scale.end - scale.start) / spacing);
  const ticks = scale.log ? logTicks(scale.low, scale.high, most) : linearTicks(scale.low, scale.high, most);
  if (scale.log && isNumber(scale.zero) && scale.zero >= scale.low && scale.zero <= scale.high) {
    return [[scale.zero, "0"], ...ticks.filter(([t]) => t > scale.zero)];
  }
  return ticks;
}
