// What the trainings warned of, each kind once a method, with its advice.

const FIRST_WARNINGS = 3;

/** Warnings of one kind and method as one: how often, since when, what was said last. */
function gatherWarnings(model) {
  return model.curves.flatMap((curve) => {
    const kinds = new Map();
    for (const warning of curve.warnings) {
      const name = text(warning.name) || "warning";
      const seen = kinds.get(name);
      const update = isNumber(warning.update) ? warning.update : null;
      kinds.set(name, {
        curve, name, update,
        message: text(warning.message), advice: text(warning.advice),
        times: (seen?.times ?? 0) + 1, since: seen ? seen.since : update,
      });
    }
    return [...kinds.values()];
  });
}

function warningItem(w) {
  const when = w.since === null ? "" : w.times > 1
    ? `${w.times} times, updates ${whole(w.since)} to ${whole(w.update)}`
    : `update ${whole(w.update)}`;
  return h("li", null,
    h("div", { class: "warning-head" }, h("span", { class: "method" }, swatch(w.curve.style), w.curve.label),
      h("span", { class: "tag" }, w.name.replace(/[_-]/g, " ")), h("span", { class: "note" }, when)),
    h("p", null, w.message || "No message."),
    w.advice ? h("p", { class: "advice" }, w.advice) : null);
}

panels.push((model) => {
  const section = byId("warnings");
  const all = gatherWarnings(model);
  section.hidden = !all.length;
  const made = [all.map((w) => [w.curve.label, w.curve.style, w.name, w.message, w.advice, w.times, w.update]), view.allWarnings];
  fill(bodyOf("warnings"), made, () => {
    const shown = view.allWarnings ? all : all.slice(0, FIRST_WARNINGS);
    return [
      h("ul", { class: "warnings" }, shown.map(warningItem)),
      all.length > FIRST_WARNINGS
        ? h("button", { type: "button", class: "quiet", "aria-expanded": String(view.allWarnings), click: () => choose({ allWarnings: !view.allWarnings }) },
          view.allWarnings ? "Show fewer" : `Show ${counted(all.length - FIRST_WARNINGS, "more warning")}`)
        : null,
    ];
  });
});
