// Colour, dashes and symbol of a curve. The colours are variables of the style sheet, so that light,
// dark and paper have their own; their order, DASHES and SYMBOLS are those of the figures that a run writes.

const COLOURS = 8;

/** Moves on when the colours begin again, so that 64 styles differ. */
const pattern = (n) => (n + Math.floor(n / COLOURS)) % DASHES.length;

/** Each part by a style of its own: where several runs are in a chart, dashes tell them apart. */
const styleOf = (colour, dash, symbol) => ({
  colour: `var(--c${colour % COLOURS})`,
  dash: DASHES[pattern(dash)],
  symbol: symbol === null ? null : pattern(symbol),
});

/** Outline of a symbol of radius r. */
function symbolPath(symbol, x, y, r) {
  const [corners, turn, inner] = SYMBOLS[symbol];
  let d = "";
  for (let k = 0; k < corners; k++) {
    const angle = 2 * Math.PI * (k / corners + turn);
    const radius = k % 2 ? r * inner : r;
    d += `${k ? "L" : "M"}${round(x + radius * Math.cos(angle))} ${round(y + radius * Math.sin(angle))}`;
  }
  return `${d}Z`;
}

const round = (v) => Math.round(v * 10) / 10;

/** A short piece of a curve, for legends and lists. */
function swatch(style) {
  const holder = h("span", { class: "swatch", "aria-hidden": "true" });
  const symbol = style.symbol === null ? "" : `<path d="${symbolPath(style.symbol, 13, 6, 4.4)}" fill="${style.colour}"/>`;
  holder.innerHTML = `<svg viewBox="0 0 26 12"><path d="M1 6H25" fill="none" stroke="${style.colour}" stroke-width="2.2" stroke-dasharray="${style.dash}"/>${symbol}</svg>`;
  return holder;
}
