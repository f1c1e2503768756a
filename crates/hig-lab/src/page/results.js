// The table of results: what each method reached, and what it took.

const RESULT_COLUMNS = [
  { id: "label", title: "Method", word: true, of: (c) => c.name },
  { id: "run", title: "Run", word: true, several: true, of: (c) => c.run.name },
  { id: "state", title: "State", word: true, of: (c) => STATES.indexOf(c.state) },
  { id: "updates", title: "Updates", of: (c) => latest(c, "update"), show: whole },
  { id: "seconds", title: "Seconds", of: (c) => latest(c, "seconds"), show: (v) => number(v, 3) },
  { id: "pace", title: "ms / update", of: (c) => (1e3 * latest(c, "seconds")) / latest(c, "update"), show: (v) => number(v, 3) },
  { id: "train_loss", title: "Training loss", of: (c) => latest(c, "train_loss"), loss: true },
  { id: "test_loss", title: "Test loss", of: (c) => latest(c, "test_loss"), loss: true },
  { id: "last", title: "Last test loss", of: (c) => c.outcome?.last?.test_loss ?? latestRow(c, "test_loss"), loss: true },
  { id: "best", title: "Best test loss", of: (c) => c.metrics.test_loss[best(c.metrics.test_loss)] ?? NaN, loss: true },
  { id: "consumed", title: "An update consumes", word: true, of: (c) => text(c.outcome?.consumed) },
  { id: "stop", title: "Why it ended", word: true, of: (c) => text(c.outcome?.stop) },
];

/** Sorted by a column; what is no number comes last either way. */
function sortCurves(curves, { column, down }) {
  const { of } = RESULT_COLUMNS.find((c) => c.id === column) ?? RESULT_COLUMNS[0];
  const missing = (v) => v === "" || (typeof v === "number" && !Number.isFinite(v));
  return [...curves].sort((a, b) => {
    const [p, q] = [of(a), of(b)];
    if (missing(p) || missing(q)) return missing(p) - missing(q);
    const order = typeof p === "string" ? p.localeCompare(q, undefined, { numeric: true }) : p - q;
    return down ? -order : order;
  });
}

function lossCell(curve, column, value, lowest) {
  if (!isNumber(value)) {
    const known = curve.metrics.rows || curve.outcome;
    return h("td", { class: "number" }, known ? h("span", { class: "bad" }, "not finite") : "–");
  }
  return h("td", { class: `number${value === lowest ? " best" : ""}`, title: String(value) }, number(value));
}

function resultRow(curve, shown, lowest) {
  const cells = shown.map((column) => {
    const value = column.of(curve);
    if (column.id === "label") return h("th", { scope: "row" }, h("span", { class: "method" }, swatch(curve.style), curve.name));
    if (column.id === "state") {
      const working = curve.state === "running";
      return h("td", null, pill(curve.state), working ? h("progress", { max: 1, value: progress(curve).toFixed(3), "aria-label": "part of the budget" }) : null);
    }
    if (column.loss) return lossCell(curve, column, value, lowest[column.id]);
    return column.word ? h("td", { class: "words" }, value || "–") : h("td", { class: "number" }, column.show(value));
  });
  return h("tr", { class: view.hidden.has(curve.key) ? "off" : null, "data-key": curve.key }, cells);
}

{
  const body = bodyOf("results");
  const head = h("tr");
  const rows = h("tbody");
  body.append(h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Table of results" },
    h("table", { class: "results" }, h("thead", null, head), rows)));
  panels.push((model) => {
    const shown = RESULT_COLUMNS.filter((c) => !c.several || model.several);
    // As long as nobody has asked for an order it is that of the methods, which does not jump.
    const order = view.sortChosen ? sortCurves(model.curves, view.sort) : model.curves;
    fill(head, [shown.map((c) => c.id)], () => shown.map((column) => h("th", { scope: "col", "data-column": column.id, class: column.word ? null : "number" },
      h("button", {
        type: "button", class: "sort",
        click: () => {
          const again = view.sortChosen && view.sort.column === column.id;
          choose({ sort: { column: column.id, down: again ? !view.sort.down : false }, sortChosen: true });
        },
      }, column.title))));
    for (const cell of head.children) {
      const active = view.sortChosen && cell.dataset.column === view.sort.column;
      cell.setAttribute("aria-sort", active ? (view.sort.down ? "descending" : "ascending") : "none");
    }
    // Losses of different systems have nothing to do with each other.
    const system = (c) => text(c.run.about.system ?? c.run.settings["run.system"]);
    const lowest = dictionary([]);
    for (const name of new Set(model.curves.map(system))) {
      const those = model.curves.filter((c) => system(c) === name);
      if (those.length < 2) continue;
      lowest[name] = Object.fromEntries(shown.filter((c) => c.loss).map((column) =>
        [column.id, Math.min(...those.map(column.of).filter(isNumber))]));
    }
    const made = order.map((c) => [c.key, c.style, view.hidden.has(c.key), progress(c), shown.map((column) => text(column.of(c)))]);
    fill(rows, [made, lowest], () => (order.length
      ? order.map((c) => resultRow(c, shown, lowest[system(c)] ?? {}))
      : h("tr", null, h("td", { colspan: shown.length }, nothing(model.empty)))));
  });
}
