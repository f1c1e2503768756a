// Keys of the page; those of a chart are in pointer.js.

const KEYS = [
  ["1 … 9", "hide or show a method"],
  ["a", "show all methods"],
  ["x", "seconds, updates or epochs"],
  ["l", "logarithmic or linear losses"],
  ["s / Shift s", "smooth more or less"],
  ["r", "reset the zoom"],
  ["/", "find a setting"],
  ["?", "these keys"],
  ["on a chart: ← →", "read values; with Shift in larger steps"],
  ["on a chart: + − 0", "zoom in, out, reset"],
];

const keysDialog = byId("keys");
keysDialog.querySelector("div").append(h("dl", null, KEYS.map(([key, meaning]) => h("div", null, h("dt", null, h("kbd", null, key)), h("dd", null, meaning)))));
byId("keys-button").addEventListener("click", () => keysDialog.showModal());

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !model || keysDialog.open) return;
  if (event.target.closest?.("input:not([type=checkbox]):not([type=range]), textarea")) return;
  const kinds = ["seconds", "update", "epoch"];
  const press = event.key;
  if (/^[1-9]$/.test(press)) {
    const curve = model.curves[Number(press) - 1];
    if (curve) setHidden([curve.key], !view.hidden.has(curve.key));
  } else if (press === "a") choose({ hidden: new Set() });
  else if (press === "x") choose({ x: kinds[(kinds.indexOf(view.x) + 1) % 3], zoom: null });
  else if (press === "l") choose({ logY: !view.logY });
  else if (press === "s") choose({ smooth: Math.min(0.99, Math.round((view.smooth + 0.1) * 100) / 100) });
  else if (press === "S") choose({ smooth: Math.max(0, Math.round((view.smooth - 0.1) * 100) / 100) });
  else if (press === "r") for (const chart of charts) chart.resetZoom();
  else if (press === "/") byId("search").focus();
  else if (press === "?") keysDialog.showModal();
  else return;
  event.preventDefault();
});
