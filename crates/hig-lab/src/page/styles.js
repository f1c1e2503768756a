// Colour, dashes and symbol of a curve. The colours are variables of the style sheet, so that light,
// dark and paper have their own; their order is that of the figures that a run writes.

const COLOURS = 8;
const DASHES = ["", "8 3.5", "2 3", "9 3.5 2 3.5", "14 4", "5 3", "9 3 2 2.5 2 3", "14 3 5 3"];

/** Moves on when the colours begin again, so that 64 styles differ. */
const pattern = (n) => (n + Math.floor(n / COLOURS)) % DASHES.length;

/** Noisy curves are hard to follow in dashes: symbols tell methods apart, dashes are for runs. */
const styleOf = (colour, dash, symbol) => ({
  colour: `var(--c${colour % COLOURS})`,
  dash: DASHES[pattern(dash)],
  symbol: symbol === null ? null : pattern(symbol),
});

/** Outline of a symbol of radius r. */
function symbolPath(symbol, x, y, r) {
  const corners = (n, turn, inner = 1) => {
    let d = "";
    for (let k = 0; k < n; k++) {
      const angle = 2 * Math.PI * (k / n + turn);
      const radius = k % 2 ? r * inner : r;
      d += `${k ? "L" : "M"}${round(x + radius * Math.cos(angle))} ${round(y + radius * Math.sin(angle))}`;
    }
    return `${d}Z`;
  };
  switch (symbol) {
    case 0: return `M${round(x - r)} ${round(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
    case 1: return corners(4, 0.125);
    case 2: return corners(3, 0.75);
    case 3: return corners(4, 0);
    case 4: return corners(10, 0.75, 0.45);
    case 5: return corners(3, 0.25);
    case 6: return corners(8, 0.125, 0.35);
    default: return corners(8, 0, 0.35);
  }
}

const round = (v) => Math.round(v * 10) / 10;

/** A short piece of a curve, for legends and lists. */
function swatch(style) {
  const holder = h("span", { class: "swatch", "aria-hidden": "true" });
  const symbol = style.symbol === null ? "" : `<path d="${symbolPath(style.symbol, 13, 6, 4.4)}" fill="${style.colour}"/>`;
  holder.innerHTML = `<svg viewBox="0 0 26 12"><path d="M1 6H25" fill="none" stroke="${style.colour}" stroke-width="2.2" stroke-dasharray="${style.dash}"/>${symbol}</svg>`;
  return holder;
}
