// Settings side by side: those of the runs, or those of the methods.

const METHOD_SETTING = /^method\.("(?:[^"\\]|\\.)*"|[^.]+)\.(.+)$/;

/** Value of a setting as a configuration file has it. */
function written(value) {
  if (value === undefined) return "";
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (typeof value === "number") return (value && Math.abs(value) < 1e-3 ? value.toExponential() : String(value)).replace("e+", "e");
  if (value && typeof value === "object") return JSON.stringify(value);
  return value === null ? "nan" : String(value);
}

/** A row a setting, a column a run. */
function byRuns(model) {
  const names = [...new Set(model.runs.flatMap((run) => Object.keys(run.settings)))];
  return {
    heads: model.runs.map((run) => h("th", { scope: "col" }, run.name)),
    rows: names.map((name) => ({ name, values: model.runs.map((run) => written(run.settings[name])) })),
  };
}

/** A row a setting, a column a method; what holds for all methods of a run is left to the other view. */
function byMethods(model) {
  const tables = model.curves.map((curve) => {
    const settings = dictionary([]);
    for (const [name, value] of Object.entries(curve.run.settings)) {
      const parts = METHOD_SETTING.exec(name);
      if (parts && parts[1].replace(/^"|"$/g, "") === curve.name) settings[parts[2]] = value;
    }
    return settings;
  });
  const names = [...new Set(tables.flatMap(Object.keys))];
  return {
    heads: model.curves.map((c) => h("th", { scope: "col" }, h("span", { class: "method" }, swatch(c.style), c.label))),
    rows: names.map((name) => ({ name, values: tables.map((t) => written(t[name])) })),
  };
}

{
  const body = bodyOf("configuration");
  const by = segmented("Columns", [["runs", "Runs"], ["methods", "Methods"]], "runs", (configBy) => choose({ configBy }));
  const differences = toggle("differences only", view.differences, (on) => choose({ differences: on }));
  const search = h("input", { type: "search", placeholder: "Find a setting", "aria-label": "Find a setting", id: "search", input: () => choose({ search: search.value }) });
  const count = h("span", { class: "hint", role: "status" });
  const table = h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Settings" });
  const raw = h("div", { class: "raw" });
  body.append(h("div", { class: "tools" }, by, differences, search, count), table, raw);
  panels.push((model) => {
    const several = model.runs.length > 1;
    const chosen = view.configBy ?? (several ? "runs" : "methods");
    by.show(chosen);
    differences.show(view.differences);
    // With one run there is nothing beside it; its methods are beside each other.
    const { heads, rows } = chosen === "runs" ? byRuns(model) : byMethods(model);
    const differs = (row) => new Set(row.values.filter((v, k) => chosen === "runs" || v !== "")).size > 1;
    const wanted = view.search.trim().toLowerCase();
    const shown = rows.filter((row) => (!view.differences || differs(row))
      && (!wanted || row.name.toLowerCase().includes(wanted) || row.values.some((v) => v.toLowerCase().includes(wanted))));
    count.textContent = rows.length ? `${shown.length} of ${counted(rows.length, "setting")}` : "";
    const made = [chosen, shown, model.curves.map((c) => [c.label, c.style]), model.runs.map((r) => r.name), model.empty];
    fill(table, made, () => (shown.length
      ? h("table", { class: "settings" },
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "Setting"), heads)),
        h("tbody", null, shown.map((row) => h("tr", { class: differs(row) ? "differs" : null },
          h("th", { scope: "row" }, row.name), row.values.map((v) => h("td", null, v === "" ? "–" : v))))))
      : nothing(rows.length ? "No setting fits." : model.empty)));
    fill(raw, model.runs.map((r) => [r.name, r.config]), () => model.runs.filter((r) => r.config).map((run) =>
      h("details", { class: "more" }, h("summary", null, `${run.name}: config.toml`),
        h("div", { class: "code" }, copyButton(() => run.config), h("pre", { tabindex: "0" }, run.config)))));
  });
}
