// What there is to see of the system: the pictures of one sample, and the way of y in its plane.

/** Lines of a picture are no methods: they have colours in an order of their own. */
function picturedLines(picture) {
  const series = list(picture.lines).map(record).map((line, k) => ({
    key: `line ${k}`, label: text(line.label), style: styleOf(k, k, null),
    x: numbers(line.x), y: numbers(line.y),
  })).map((s) => {
    const n = Math.min(s.x.length, s.y.length);
    const x = s.x.subarray(0, n);
    return { ...s, x, y: s.y.subarray(0, n), ascending: x.every((v, k) => !k || v >= x[k - 1]) };
  });
  const points = list(picture.points).map(record).filter((p) => isNumber(p.x) && isNumber(p.y));
  return { x: { label: text(picture.x), log: false }, y: { label: text(picture.y), log: false }, series, points: points.map((p) => ({ ...p, label: text(p.label) })), empty: "Nothing yet." };
}

/** Where y goes, if it has two components: one line a method. A way that leads more than ten times as
 * far from the target as the median way would make points of all others; it is left to the edge. */
function wayContent(model) {
  const shown = model.shown.filter((c) => c.diagnostics.y1?.length);
  const target = model.runs.map((r) => r.target).find((t) => t?.length === 2 && t.every(isNumber));
  const centre = target ?? [0, 0];
  const series = shown.map((curve) => {
    const [x, y] = [curve.diagnostics.y1, curve.diagnostics.y2];
    let far = 0;
    for (let k = 0; k < x.length; k++) {
      const d = Math.hypot(x[k] - centre[0], y[k] - centre[1]);
      if (d > far) far = d;
    }
    const update = curve.diagnostics.update;
    return {
      key: curve.key, label: curve.label, style: curve.style, x, y, ascending: false, far,
      told: (k) => `update ${whole(update?.[k])}`,
    };
  });
  const sorted = series.map((s) => s.far).sort((a, b) => a - b);
  const median = sorted[Math.floor((sorted.length - 1) / 2)];
  const inside = series.filter((s) => !(s.far > 10 * median));
  const outside = series.filter((s) => !inside.includes(s)).map((s) => s.label);
  for (const s of series) s.aside = !inside.includes(s);
  const range = target ? [target[0], target[0]] : [Infinity, -Infinity];
  for (const s of inside) {
    for (const v of s.x) {
      if (v < range[0]) range[0] = v;
      if (v > range[1]) range[1] = v;
    }
  }
  const points = target ? [{ x: target[0], y: target[1], label: "target", symbol: 4, size: 7 }] : [];
  for (const s of series) {
    let k = s.x.length - 1;
    while (k > 0 && !Number.isFinite(s.x[k])) k--;
    points.push({ x: s.x[k], y: s.y[k], symbol: s.style.symbol ?? 0, size: 4.5, style: s.style, label: "", aside: true });
  }
  return {
    x: { label: "y₁", log: false, range: range[0] <= range[1] ? widen(false, ...range, 0.06) : undefined },
    y: { label: "y₂", log: false }, series,
    points: points.filter((p) => !p.aside || !outside.length || (p.x >= range[0] && p.x <= range[1])),
    outside, empty: model.empty,
  };
}

function pictureCard(curve, picture, shades) {
  const title = text(picture.title) || "Picture";
  if (picture.kind === "field") {
    const host = h("div");
    heatMap(host, picture, shades, `${curve.label}: ${title}`);
    return h("figure", { class: "card" }, h("figcaption", null, h("h3", null, h("span", { class: "method" }, swatch(curve.style), curve.label))), host);
  }
  const card = chartCard(`${curve.label}: ${title}`, "", { ratio: 0.66 });
  card.querySelector("h3").replaceChildren(h("span", { class: "method" }, swatch(curve.style), curve.label));
  const content = picturedLines(picture);
  card.chart.set(() => content);
  const names = content.series.filter((s) => s.label);
  if (names.length > 1) card.append(h("ul", { class: "lines" }, names.map((s) => h("li", null, swatch(s.style), s.label))));
  return card;
}

{
  const body = bodyOf("pictures");
  const same = toggle("the same colours for all methods", view.sameColours, (sameColours) => choose({ sameColours }));
  const tools = h("div", { class: "tools" }, same);
  const wayTitle = "The way of y";
  const wayNote = "one test sample, from the first update to the last";
  const makeWay = (title) => chartCard(title, wayNote, { ratio: 0.6, lowest: 260, highest: 460, paper: 690 });
  const ways = h("div");
  const wayCards = new Map();
  const groups = h("div", { class: "pictures" });
  const none = nothing("Nothing yet.");
  body.append(ways, tools, groups, none);
  panels.push((model) => {
    const inPlane = (c) => c.measured.filter((name) => /^y\d+$/.test(name)).length === 2 && c.diagnostics.rows > 0;
    const planes = bySystem(model).filter(([, part]) => part.curves.some(inPlane));
    const plane = planes.length > 0;
    showCards(ways, wayCards, planes.map(([system, part]) => [
      system,
      () => makeWay(system ? `${wayTitle}: ${system}` : wayTitle),
      (card) => card.chart.set(() => {
        const content = wayContent({ ...part, shown: part.shown.filter(inPlane) });
        card.chart.note(wayNote + (content.outside.length ? `; leading far out of the picture: ${content.outside.join(", ")}` : ""));
        return content;
      }),
    ]));
    const shown = model.shown.filter((c) => list(c.pictures?.pictures).length);
    const made = [shown.map((c) => [c.key, c.label, c.style, c.pictures]), view.sameColours, model.empty];
    fill(groups, made, () => {
      for (const card of groups.querySelectorAll(".card")) if (card.chart) dropChart(card);
      const titles = [...new Set(shown.flatMap((c) => c.pictures.pictures.map((p) => text(record(p).title))))];
      return titles.map((title) => {
        const those = shown.flatMap((c) => c.pictures.pictures.map(record).filter((p) => text(p.title) === title).map((p) => [c, p]));
        const fields = those.map(([, p]) => p).filter((p) => p.kind === "field");
        const common = view.sameColours ? shadesOf(fields) : null;
        const updates = those.map(([c]) => c.pictures.update).filter(isNumber);
        const when = new Set(updates).size === 1 ? `, update ${whole(updates[0])}` : "";
        return h("div", { class: "picture-group" }, h("h3", null, title || "Picture", h("span", { class: "note" }, `test sample ${text(those[0][0].pictures.sample)}${when}`)),
          h("div", { class: "grid" }, those.map(([c, p]) => pictureCard(c, p, common ?? shadesOf([p])))));
      });
    });
    tools.hidden = !shown.some((c) => c.pictures.pictures.some((p) => record(p).kind === "field"));
    none.hidden = shown.length > 0 || plane;
    none.textContent = model.emptyPlot;
  });
}
