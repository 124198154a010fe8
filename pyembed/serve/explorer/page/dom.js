// Making elements. Text of a file reaches the page only as text: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.setAttribute("class", value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else if (name in node && !(node instanceof SVGElement) && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const el = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);
export const svg = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);
export const byId = (id) => document.getElementById(id);
export const replace = (node, ...children) => node.replaceChildren(...children.flat().filter(Boolean));

export function busy(text) {
  return el("p", { class: "busy", role: "status" }, el("span", { class: "spinner", "aria-hidden": "true" }), text);
}

export function problem(error) {
  return el("p", { class: "problem", role: "alert" }, error.message || String(error));
}

export function note(...children) {
  return el("div", { class: "note" }, ...children);
}

// A group of buttons: one of them is pressed.
export function choice(label, options, chosen, onchoose) {
  const group = el("div", { class: "segmented small", role: "group", "aria-label": label });
  for (const [value, text] of options) {
    const press = () => {
      for (const other of group.children) other.setAttribute("aria-pressed", String(other.dataset.value === value));
      onchoose(value);
    };
    group.append(el("button", { type: "button", data: { value }, "aria-pressed": String(value === chosen), onclick: press }, text));
  }
  return group;
}

export function debounce(wait, run) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...values), wait);
  };
}

export const grouped = (number) => number.toLocaleString("en-US");

export function fixed(value, digits) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

export function bytesText(n) {
  if (n === null || n === undefined) return "–";
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let at = 0;
  let value = n;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return at === 0 ? `${grouped(n)} bytes` : `${value.toPrecision(3)} ${units[at]}`;
}

// What stands for a token wherever there is little room: its text with spaces that can be seen.
export function tokenText(token) {
  if (token.text === null || token.text === undefined) return `row ${token.id}`;
  return token.text === "" ? "(empty)" : token.text.replace(/ /g, "␣");
}

export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
