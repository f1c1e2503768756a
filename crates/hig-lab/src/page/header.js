// What this is: runs, systems, seeds, version, state.

const STATE_WORDS = {
  waiting: "waiting", running: "running", finished: "finished",
  interrupted: "interrupted", failed: "failed", diverged: "diverged",
};

const pill = (state, words) => h("span", { class: `pill ${state}` }, words ?? STATE_WORDS[state]);

/** One word for a run: what its methods have in common. */
function stateOf(run) {
  const states = run.methods.map((m) => m.state);
  if (states.includes("running")) return "running";
  if (!states.length || states.every((s) => s === "waiting")) return "waiting";
  if (states.includes("interrupted")) return "interrupted";
  // Between two methods nothing runs for a moment.
  if (states.includes("waiting")) return "running";
  if (states.every((s) => s === "finished")) return "finished";
  return states.every((s) => s === "failed") ? "failed" : "finished";
}

function runFacts(run, alone) {
  const { about, settings } = run;
  const state = stateOf(run);
  const done = run.methods.filter((m) => !["waiting", "running"].includes(m.state)).length;
  const budget = ["updates", "epochs", "seconds"]
    .filter((unit) => isNumber(settings[`budget.${unit}`]))
    .map((unit) => `${unit === "updates" ? whole(settings["budget.updates"]) : number(settings[`budget.${unit}`])} ${unit}`);
  const share = run.methods.length ? run.methods.reduce((sum, m) => sum + progress(m), 0) / run.methods.length : 0;
  const bad = ["diverged", "failed"].map((s) => [s, run.methods.filter((m) => m.state === s).length]).filter(([, n]) => n);
  const facts = [
    [text(about.system ?? settings["run.system"]), "system"],
    [text(about.seed ?? settings["run.seed"]), "seed"],
    [run.methods.length ? `${done} of ${run.methods.length}` : "", run.methods.length === 1 ? "method ended" : "methods ended"],
    [budget.join(", "), "a method"],
    [date(about.started), "started"],
  ].filter(([value]) => value !== "");
  return h("li", null,
    h("div", { class: "run-name" }, alone ? null : h("b", null, run.name), pill(state), bad.map(([s, n]) => pill(s, `${n} ${s}`))),
    h("dl", null, facts.map(([value, name]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
    state === "running" || state === "waiting"
      ? h("progress", { max: 1, value: share.toFixed(3), "aria-label": `${run.name}: part of the budget that is used` })
      : null,
  );
}

panels.push((model) => {
  const names = model.runs.map((run) => run.name);
  const title = names.length === 0 ? "Nothing yet" : names.length === 1 ? names[0] : `${names.length} runs`;
  const state = model.runs.some((r) => stateOf(r) === "running") ? "● " : "";
  document.title = `${state}${title} – hig`;
  byId("title").textContent = title;
  byId("kind").textContent = model.live ? "watch" : "report";
  const made = model.runs.map((run) => [run.name, run.about, stateOf(run), run.methods.map((m) => [m.state, progress(m)])]);
  fill(byId("facts"), [made, held === null, model.live], () => [
    model.runs.length
      ? h("ul", { class: model.runs.length === 1 ? "runs single" : "runs" }, model.runs.map((run) => runFacts(run, model.runs.length === 1)))
      : nothing(held === null ? "Waiting for the data." : model.live ? "Nothing yet: this page fills when a run writes its first numbers." : "This report holds no runs."),
  ]);
  byId("made").textContent = [model.version, model.live ? "" : model.generated && `written ${date(model.generated)}`].filter(Boolean).join(", ");
});
