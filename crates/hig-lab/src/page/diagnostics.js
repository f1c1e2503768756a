// What the steps tell of themselves, how far the neurons are from saturation, what the system
// measures: a small chart each.

/** Title and meaning of quantities, of the library's list; others are shown by their names. */
const QUANTITIES = dictionary(DIAGNOSTICS.map(({ name, title, unit, meaning }) =>
  [name, [title, unit ? `${meaning}, in ${unit}` : meaning]]));
const NOT_MEASURES = new Set(["update", "seconds", "activation_mean", "activation_deviation", "rank"]);

const words = (name) => {
  const spaced = name.replace(/_/g, " ");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
};

/** The quantities of all methods, the known ones first. */
function quantitiesOf(model) {
  const found = new Set(model.curves.flatMap((c) => Object.keys(c.steps).filter((name) => c.steps[name].rows)));
  if (model.curves.some((c) => c.diagnostics.rank?.some(Number.isFinite))) found.add("rank");
  const known = Object.keys(QUANTITIES);
  const place = (name) => (known.includes(name) ? known.indexOf(name) : known.length);
  return [...found].sort((a, b) => place(a) - place(b) || a.localeCompare(b));
}

function measuresOf(model) {
  const found = new Set(model.curves.flatMap((c) => c.measured));
  return [...found].filter((name) => !NOT_MEASURES.has(name) && !/^y\d+$/.test(name));
}

/** Updates and values of a quantity: of the steps, or of the evaluations where only they have it. */
function quantity(curve, name) {
  const told = curve.steps[name];
  if (told?.rows) return [told.update, told.value];
  const column = curve.diagnostics[name];
  return column ? [curve.diagnostics.update ?? new Float64Array(0), column] : null;
}

/** A small chart; `read` gives updates and values of a curve, and a deviation where there is one. */
const smallContent = (model, read) => ({
  x: trainingAxis(model, X_SHORT[view.x]),
  y: { log: "auto" },
  empty: model.emptyPlot,
  series: model.shown.flatMap((curve) => {
    const found = read(curve);
    if (!found) return [];
    const [updates, values, deviation] = found;
    const n = Math.min(updates.length, values.length);
    const y = smoothed(values.subarray(0, n), view.smooth, false);
    return [{
      key: curve.key, label: curve.label, style: curve.style, x: along(curve, updates.subarray(0, n), view.x), y,
      ...(deviation && { low: y.map((v, k) => v - deviation[k]), high: y.map((v, k) => v + deviation[k]) }),
    }];
  }),
});

{
  const grid = h("div", { class: "grid" });
  const none = nothing("Nothing yet.");
  bodyOf("diagnostics").append(grid, none);
  const cards = new Map();
  const wantedOf = (model) => [
    ...quantitiesOf(model).map((name) => [`step ${name}`, ...(QUANTITIES[name] ?? [words(name), "as the step tells it"]), (c) => quantity(c, name)]),
    ...(model.curves.some((c) => c.diagnostics.activation_mean?.some(Number.isFinite))
      ? [["saturation", "Saturation", "mean of |activation| ± deviation; 1 is saturated",
        (c) => c.diagnostics.activation_mean && [c.diagnostics.update ?? new Float64Array(0), c.diagnostics.activation_mean, c.diagnostics.activation_deviation]]]
      : []),
    ...measuresOf(model).map((name) => [`measure ${name}`, words(name), "measured by the system",
      (c) => c.diagnostics[name] && [c.diagnostics.update ?? new Float64Array(0), c.diagnostics[name]]]),
  ];
  panels.push((model) => {
    const wanted = bySystem(model).flatMap(([system, part]) => wantedOf(part).map(([id, title, meaning, read]) => [
      `${system} ${id}`,
      () => chartCard(system ? `${title}: ${system}` : title, meaning, { training: true, ratio: 0.56, lowest: 168, highest: 300 }),
      (card) => card.chart.set(() => smallContent(part, read)),
    ]));
    showCards(grid, cards, wanted);
    none.hidden = wanted.length > 0;
    none.textContent = model.empty;
  });
}
