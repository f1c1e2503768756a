// Where the numbers come from: enough to make them again.

const PROVENANCE = [
  ["path", "Folder"], ["command", "Command"], ["version", "Version"], ["commit", "Commit"],
  ["started", "Started"], ["machine", "Machine"], ["threads", "Threads"], ["system", "System"],
  ["seed", "Seed"], ["methods", "Methods"], ["format", "Format of the folder"],
];

panels.push((model) => {
  fill(bodyOf("provenance"), [model.runs.map((r) => [r.name, r.path, r.about]), model.empty], () => {
    if (!model.runs.length) return nothing(model.empty);
    return h("div", { class: "provenance" }, model.runs.map((run) => {
      const facts = own({ path: run.path, ...run.about });
      const known = new Set(PROVENANCE.map(([name]) => name));
      const rows = [...PROVENANCE, ...Object.keys(facts).filter((n) => !known.has(n)).map((n) => [n, words(n)])];
      const value = (name) => {
        const v = facts[name];
        if (name === "command") return h("div", { class: "code" }, copyButton(() => text(v)), h("code", null, text(v)));
        if (name === "started") return h("time", { datetime: text(v) }, `${date(v)} `, h("span", { class: "note" }, text(v)));
        return Array.isArray(v) ? v.join(", ") : v && typeof v === "object" ? JSON.stringify(v) : text(v);
      };
      return h("div", { class: "card" }, h("h3", null, run.name), h("dl", null,
        rows.filter(([name]) => text(facts[name]) !== "").map(([name, title]) => h("div", null, h("dt", null, title), h("dd", null, value(name))))));
    }));
  });
});
