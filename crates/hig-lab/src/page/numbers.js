// Numbers as text.

const MINUS = "\u2212";
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** Four digits, with a power of ten where the number is very small or very large. */
function number(value, digits = 4) {
  if (!isNumber(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(digits - 1).replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

/** Whole numbers with thin spaces between thousands. */
function whole(value) {
  return isNumber(value) ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f") : "–";
}

/** A time in the unit that suits it. */
function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds < 1e-3) return `${number(seconds * 1e6, 3)} µs`;
  if (seconds < 1) return `${number(seconds * 1e3, 3)} ms`;
  if (seconds < 120) return `${number(seconds, 3)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 10ⁿ. */
function powerOfTen(exponent) {
  const digits = [...String(Math.abs(exponent))].map((d) => SUPERSCRIPTS[d]).join("");
  return `10${exponent < 0 ? "⁻" : ""}${digits}`;
}

/** A date as the reader's country writes it; text that is no date as it stands. */
function date(text) {
  const at = new Date(text);
  if (typeof text !== "string" || Number.isNaN(at.getTime())) return text ? String(text) : "";
  return at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** A word with its number: "1 method", "5 methods". */
const counted = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
