// Elements from plain descriptions.

const escapeText = (text) =>
  String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** An element; attributes that are functions listen, those that are null or false are left out. */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

const byId = (id) => document.getElementById(id);
const bodyOf = (id) => byId(id).querySelector(".body");

/** Builds the content of a node anew where what it is made from has changed, and only then, so that
 * selected text, focus and scroll positions outlive live updates. */
function fill(node, made, build) {
  const key = JSON.stringify(made);
  if (node.madeFrom === key) return false;
  node.madeFrom = key;
  node.replaceChildren(...[build()].flat(Infinity).filter(Boolean));
  return true;
}

/** A choice of one out of few. */
function segmented(label, options, current, choose) {
  const group = h("div", { class: "segmented", role: "group", "aria-label": label });
  const buttons = options.map(([value, text]) =>
    h("button", { type: "button", "data-value": value, click: () => choose(value) }, text),
  );
  group.append(...buttons);
  group.show = (value) => {
    for (const b of buttons) b.setAttribute("aria-pressed", String(b.dataset.value === String(value)));
  };
  group.show(current);
  return group;
}

/** A switch. */
function toggle(label, current, choose) {
  const box = h("input", { type: "checkbox", change: () => choose(box.checked) });
  box.checked = current;
  const whole = h("label", { class: "toggle" }, box, h("span", null, label));
  whole.show = (value) => { box.checked = value; };
  return whole;
}

/** A range with its value beside it. */
function slider(label, { min, max, step, value }, text, choose) {
  const input = h("input", { type: "range", min, max, step, "aria-label": label });
  input.value = value;
  const shown = h("output", null, text(value));
  input.addEventListener("input", () => choose(Number(input.value)));
  const whole = h("label", { class: "slider" }, h("span", null, label), input, shown);
  whole.show = (v, limit) => {
    if (limit !== undefined) input.max = limit;
    input.value = v;
    shown.textContent = text(v);
    input.setAttribute("aria-valuetext", text(v));
  };
  return whole;
}

/** A button that puts text on the clipboard and says so. */
function copyButton(text, label = "Copy") {
  const button = h("button", { type: "button", class: "quiet copy" }, label);
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      // Pages from a file or without https have no clipboard of that kind in some browsers.
      const area = h("textarea", { class: "unseen" });
      area.value = text();
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    button.textContent = done ? "Copied" : "Not allowed here";
    setTimeout(() => { button.textContent = label; }, 1600);
  });
  return button;
}

/** What stands where there is nothing to show. */
const nothing = (text) => h("p", { class: "nothing" }, text);
