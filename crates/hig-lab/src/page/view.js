// What the reader has chosen; outlives every live update.

const view = {
  hidden: new Set(),
  colourBy: null,
  x: "seconds",
  logX: { seconds: false, update: true, epoch: false },
  logY: true,
  smooth: 0,
  /** Range of x that all charts over the training show; null for all of it. */
  zoom: null,
  sort: { column: "test_loss", down: false },
  sortChosen: false,
  spectrumAt: null,
  squared: false,
  timing: "share",
  sameColours: true,
  configBy: null,
  differences: false,
  search: "",
  allWarnings: false,
};

const X_LABELS = { seconds: "seconds of training", update: "updates", epoch: "epochs" };
const X_SHORT = { ...X_LABELS, seconds: "seconds" };

let held = null;
let model = null;
const panels = [];
let asked = false;

/** Shows what has changed, once before the next frame. */
function refresh() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    model = readModel(held, view);
    for (const panel of panels) {
      try {
        panel(model);
      } catch (error) {
        // One panel that cannot read its data must not take the others with it.
        console.error(error);
      }
    }
  });
}

function choose(changes) {
  Object.assign(view, changes);
  refresh();
}

function setHidden(keys, hide) {
  for (const key of keys) {
    if (hide) view.hidden.add(key);
    else view.hidden.delete(key);
  }
  refresh();
}

/** Only this curve; all again where it was alone already. */
function alone(key) {
  const others = model.curves.map((c) => c.key).filter((k) => k !== key);
  const was = others.every((k) => view.hidden.has(k)) && !view.hidden.has(key);
  view.hidden = new Set(was ? [] : others);
  refresh();
}
