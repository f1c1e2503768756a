// Where the time goes: a bar a method, a piece a part.

const PARTS = own({
  forward: "network and physics, forward",
  gram: "K = J·Jᵀ",
  decompose: "decomposition",
  direction: "direction, by a backward pass",
  step: "rest of the step",
  evaluate: "evaluation of the losses",
  record: "files",
});

/** Total seconds by part, known parts first; null where nothing was measured. */
function partsOf(curve) {
  const names = Object.keys(curve.timing);
  const order = [...Object.keys(PARTS).filter((p) => names.includes(p)), ...names.filter((p) => !(p in PARTS))];
  const parts = order.map((name) => {
    const { seconds } = curve.timing[name];
    let k = seconds.length - 1;
    while (k >= 0 && !Number.isFinite(seconds[k])) k--;
    return { name, seconds: k < 0 ? 0 : Math.max(0, seconds[k]) };
  });
  const total = parts.reduce((sum, p) => sum + p.seconds, 0);
  return total > 0 ? { curve, parts, total, updates: latest(curve, "update") } : null;
}

const partColour = (name) => {
  const k = Object.keys(PARTS).indexOf(name);
  return k < 0 ? "var(--p7)" : `var(--p${k})`;
};

function timingRow(row, longest) {
  const length = view.timing === "share" ? 1 : row.total / longest;
  const bar = h("div", { class: "bar" }, row.parts.filter((p) => p.seconds > 0).map((p) => {
    const share = p.seconds / row.total;
    const each = isNumber(row.updates) && row.updates > 0 ? `, ${duration(p.seconds / row.updates)} an update` : "";
    const piece = h("span", { title: `${p.name}: ${PARTS[p.name] ?? "part of the training"}\n${duration(p.seconds)}, ${number(100 * share, 3)} %${each}` },
      share * length > 0.1 ? h("i", null, p.name) : null);
    piece.style.cssText = `flex-grow:${share};background:${partColour(p.name)}`;
    return piece;
  }));
  bar.style.width = `${Math.max(0.5, 100 * length)}%`;
  return h("div", { class: "timing-row" },
    h("span", { class: "method" }, swatch(row.curve.style), row.curve.label),
    h("div", { class: "track" }, bar),
    h("span", { class: "number" }, duration(row.total)));
}

function timingTable(rows, names) {
  return h("details", { class: "more" }, h("summary", null, "As a table, in milliseconds an update"),
    h("div", { class: "scroll", tabindex: "0" }, h("table", null,
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Method"), names.map((n) => h("th", { scope: "col", class: "number" }, n)), h("th", { scope: "col", class: "number" }, "all"))),
      h("tbody", null, rows.map((row) => h("tr", null, h("th", { scope: "row" }, row.curve.label),
        names.map((n) => h("td", { class: "number" }, number((1e3 * (row.parts.find((p) => p.name === n)?.seconds ?? NaN)) / row.updates, 3))),
        h("td", { class: "number" }, number((1e3 * row.total) / row.updates, 3))))))));
}

{
  const body = bodyOf("timing");
  const unit = segmented("Length of the bars", [["share", "Shares"], ["seconds", "Seconds"]], view.timing, (timing) => choose({ timing }));
  const table = h("div", { class: "card timing" });
  const none = nothing("Nothing yet.");
  const tools = h("div", { class: "tools" }, unit);
  body.append(tools, table, none);
  panels.push((model) => {
    unit.show(view.timing);
    const rows = model.shown.map(partsOf).filter(Boolean);
    tools.hidden = table.hidden = !rows.length;
    none.hidden = rows.length > 0;
    none.textContent = model.emptyPlot;
    const open = table.querySelector("details")?.open;
    fill(table, [rows.map((r) => [r.curve.key, r.curve.style, r.parts, r.updates]), view.timing, model.empty], () => {
      if (!rows.length) return [];
      const longest = Math.max(...rows.map((r) => r.total));
      const named = new Set(rows.flatMap((r) => r.parts.map((p) => p.name)));
      const names = [...Object.keys(PARTS).filter((p) => named.delete(p)), ...named];
      const more = timingTable(rows, names);
      more.open = open ?? false;
      return [
        ...rows.map((row) => timingRow(row, longest)),
        h("ul", { class: "parts" }, names.map((n) => {
          const spot = h("i");
          spot.style.background = partColour(n);
          return h("li", null, spot, n, h("span", { class: "note" }, PARTS[n] ?? ""));
        })),
        more,
      ];
    });
  });
}
