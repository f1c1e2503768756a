// The methods: a press hides or shows, a double press leaves one alone.

panels.push((model) => {
  const host = byId("legend");
  const made = model.curves.map((c) => [c.key, c.label, c.style, c.state]).concat([model.several, model.byRun]);
  fill(host, made, () => {
    const item = (curve) => {
      const words = model.several ? (model.methods.length === 1 ? curve.run.name : curve.name) : curve.name;
      const button = h("button", {
        type: "button", class: "chip", "data-key": curve.key,
        title: `${curve.label}: press to hide or show, double click to see it alone`,
        // The second click of a double click must not undo what the double click does.
        click: (event) => { if (event.detail < 2) setHidden([curve.key], !view.hidden.has(curve.key)); },
        dblclick: () => {
          view.hidden.delete(curve.key);
          alone(curve.key);
        },
        pointerenter: () => emphasise(curve.key),
        pointerleave: () => emphasise(null),
      }, swatch(curve.style), h("span", { class: "name" }, words), h("span", { class: "last" }));
      return button;
    };
    const groups = model.several && model.methods.length > 1
      ? model.runs.map((run) => h("div", { class: "group", role: "group", "aria-label": run.name },
        h("button", {
          type: "button", class: "quiet run-toggle", title: "Hide or show all of this run",
          click: () => setHidden(run.methods.map((m) => m.key), run.methods.some((m) => !view.hidden.has(m.key))),
        }, run.name), run.methods.map(item)))
      : model.curves.map(item);
    const extra = [];
    if (model.curves.length > 1) {
      extra.push(h("button", { type: "button", class: "quiet", click: () => choose({ hidden: new Set() }) }, "All"),
        h("button", { type: "button", class: "quiet", click: () => choose({ hidden: new Set(model.curves.map((c) => c.key)) }) }, "None"));
    }
    if (model.shared && model.methods.length > 1) {
      extra.push(segmented("Colour by", [["method", "by method"], ["run", "by run"]], model.byRun ? "run" : "method", (colourBy) => choose({ colourBy })));
    }
    return [h("div", { class: "chips" }, groups), extra.length ? h("div", { class: "legend-tools" }, extra) : null];
  });
  const buttons = new Map([...host.querySelectorAll(".chip")].map((b) => [b.dataset.key, b]));
  for (const curve of model.curves) {
    const button = buttons.get(curve.key);
    if (!button) continue;
    button.setAttribute("aria-pressed", String(!view.hidden.has(curve.key)));
    const loss = latest(curve, "test_loss");
    button.querySelector(".last").textContent = ["diverged", "failed", "waiting"].includes(curve.state) ? STATE_WORDS[curve.state] : number(loss, 3);
    button.classList.toggle("working", curve.state === "running");
  }
});

/** Lets one curve stand out while the pointer is on its name. */
function emphasise(key) {
  document.body.classList.toggle("emphasis", key !== null);
  for (const path of document.querySelectorAll(".plot [data-key]")) path.classList.toggle("on", path.dataset.key === key);
}
