// Singular values of J, or their squares, the eigenvalues of K = J·Jᵀ, as they change in the training.

/** The group of an update: the last one until then. */
function groupAt(curve, update) {
  let found = curve.spectrum[0];
  for (const group of curve.spectrum) if (group.update <= update) found = group;
  return found;
}

/** The rank that a method kept around an update. */
function rankAt(curve, update) {
  const told = quantity(curve, "rank");
  if (!told) return NaN;
  const [updates, ranks] = told;
  let rank = NaN;
  for (let k = 0; k < Math.min(updates.length, ranks.length); k++) {
    if (updates[k] > update && Number.isFinite(rank)) break;
    if (Number.isFinite(ranks[k])) rank = ranks[k];
  }
  return rank;
}

function spectrumContent(model, update) {
  const f = view.squared ? (v) => v * v : (v) => v;
  const points = [];
  const series = [];
  const symbol = view.squared ? "σ²" : "σ";
  for (const curve of model.shown.filter((c) => c.spectrum.length)) {
    const shape = (group) => ({
      key: curve.key, label: curve.label, style: curve.style,
      x: group.table.index.map((i) => i + 1), y: group.table.value.map(f),
    });
    const [first, now] = [curve.spectrum[0], groupAt(curve, update)];
    if (first !== now) series.push({ ...shape(first), ghost: true });
    series.push(shape(now));
    const rank = rankAt(curve, now.update);
    const place = nearest(now.table.index, rank - 1);
    if (rank >= 1 && place >= 0 && now.table.value[place] > 0) {
      points.push({ x: rank, y: f(now.table.value[place]), key: curve.key, symbol: 0, size: 5, style: curve.style, label: "", drop: true });
    }
  }
  return {
    x: { label: "place of the singular value", log: true },
    y: { label: symbol, log: true },
    series, points,
    empty: model.emptyPlot,
  };
}

{
  const body = bodyOf("spectrum");
  let updates = [];
  const which = segmented("Values", [["false", "σ of J"], ["true", "σ² of J = λ of K"]], "false", (v) => choose({ squared: v === "true" }));
  const time = slider("Update", { min: 0, max: 1, step: 1, value: 1 }, (k) => whole(updates[k] ?? NaN),
    // At its end the slider stays with the newest.
    (k) => choose({ spectrumAt: k >= updates.length - 1 ? null : updates[k] }));
  const title = "Singular values of the last batch";
  const make = (words) => chartCard(words, "of J, or of √C·J where a step uses the curvature C of the loss", { ratio: 0.5, lowest: 240, highest: 420, paper: 690 });
  const cards = new Map();
  const host = h("div");
  const tools = h("div", { class: "tools" }, which, time,
    h("span", { class: "hint" }, "Faint: at the beginning. Ring: the rank that the step keeps."));
  const none = nothing("Nothing yet.");
  body.append(tools, host, none);
  panels.push((model) => {
    const recorded = model.curves.some((c) => c.spectrum.length);
    none.hidden = recorded;
    tools.hidden = host.hidden = !recorded;
    none.textContent = model.empty;
    updates = [...new Set(model.shown.flatMap((c) => c.spectrum.map((g) => g.update)))].sort((a, b) => a - b);
    const last = Math.max(0, updates.length - 1);
    const at = view.spectrumAt === null ? last : Math.max(0, nearest(updates, view.spectrumAt));
    which.show(view.squared);
    time.show(at, last);
    showCards(host, cards, bySystem(model).map(([system, part]) => [
      system,
      () => make(system ? `${title}: ${system}` : title),
      (card) => card.chart.set(() => spectrumContent(part, updates[at] ?? 0)),
    ]));
  });
}
