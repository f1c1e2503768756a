// Loss curves, and the axis of time that they share with all other charts over the training.

/** Where a method's numbers ended: its last finite value before the first that is none. */
function endOfNumbers(curve, ys) {
  let last = -1;
  let broken = false;
  for (let k = 0; k < ys.length; k++) {
    if (Number.isFinite(ys[k])) last = k;
    else if (last >= 0) {
      broken = true;
      break;
    }
  }
  return last >= 0 && (broken || curve.state === "diverged") ? last : -1;
}

/** The axis that the reader has chosen, over the training of all shown methods. */
const trainingAxis = (model, label = X_LABELS[view.x]) => ({
  label, log: view.logX[view.x],
  span: model.shown.flatMap(({ metrics }) => (metrics.rows ? [metrics[view.x][0], metrics[view.x][metrics.rows - 1]] : [])),
});

function lossContent(model, column) {
  const crosses = [];
  const lines = [];
  const series = model.shown.filter((c) => c.metrics.rows).map((curve) => {
    const ys = curve.metrics[column];
    const x = curve.metrics[view.x];
    const smooth = smoothed(ys, view.smooth, view.logY);
    const end = endOfNumbers(curve, ys);
    if (end >= 0) {
      crosses.push({
        key: curve.key, style: curve.style, x: x[end], y: smooth[end],
        title: `${curve.label}: no finite loss after update ${whole(curve.metrics.update[end])}`,
      });
    }
    for (const [update, name] of curve.phases) {
      if (update > 0) lines.push({ x: along(curve, [update], view.x)[0], label: text(name), style: curve.style });
    }
    return { key: curve.key, label: curve.label, style: curve.style, x, y: smooth, raw: view.smooth ? ys : null };
  });
  return { x: trainingAxis(model), y: { log: view.logY }, series, crosses, lines, empty: model.emptyPlot };
}

{
  const body = bodyOf("loss");
  const x = segmented("Horizontal axis", [["seconds", "Seconds"], ["update", "Updates"], ["epoch", "Epochs"]], view.x,
    (kind) => choose({ x: kind, zoom: null }));
  const logX = toggle("log x", false, (on) => {
    view.logX[view.x] = on;
    choose({ zoom: null });
  });
  const logY = toggle("log y", view.logY, (on) => {
    for (const card of cards.values()) card.chart.zoomY = null;
    choose({ logY: on });
  });
  const smooth = slider("Smoothing", { min: 0, max: 0.99, step: 0.01, value: 0 }, (v) => v.toFixed(2), (v) => choose({ smooth: v }));
  const reset = h("button", { type: "button", class: "quiet", click: () => cards.values().next().value?.chart.resetZoom() }, "Reset zoom");
  const cards = new Map();
  const pair = h("div", { class: "pair" });
  const both = [["Test loss", "test_loss"], ["Training loss", "train_loss"]];
  const make = (title) => chartCard(title, "", { training: true, ratio: 0.64, lowest: 230, highest: 460, paper: 690, class: "large" });
  body.append(
    h("div", { class: "tools" }, x, logX, logY, smooth, reset,
      h("span", { class: "hint" }, "Drag to zoom, double click to see all.")),
    pair,
  );
  panels.push((model) => {
    x.show(view.x);
    logX.show(view.logX[view.x]);
    logY.show(view.logY);
    smooth.show(view.smooth);
    reset.hidden = !view.zoom;
    showCards(pair, cards, bySystem(model).flatMap(([system, part]) => both.map(([title, column]) => [
      `${system} ${column}`,
      () => make(system ? `${title}: ${system}` : title),
      (card) => card.chart.set(() => lossContent(part, column)),
    ])));
  });
}
