// A map of chosen words: groups, or words with what is nearest to them, as points with their texts beside them.

import { ask } from "./api.js";
import { isDark, kinds, SHAPES } from "./colours.js";
import { busy, byId, choice, debounce, el, note, problem, replace, saveBlob, svg, tokenText } from "./dom.js";
import { state } from "./state.js";
import { choose, tokenButton } from "./tokens.js";

const EDGE = 40;
const size = { width: 900, height: 600 };
const settings = { method: "tsne", kind: "groups" };
let turn = 0;
let last = null;

export function showWords() {
  const box = byId("words-view");
  if (!box.firstChild) build(box);
  if (!last || last.model !== state.model) draw();
}

function build(box) {
  const published = (state.file?.published.groups || []).map((group) => `${group.name}: ${group.words.join(" ")}`).join("\n");
  const groups = el("textarea", { id: "map-groups", rows: 5, spellcheck: false }, published);
  const near = el("input", { id: "map-near", value: "king Paris", spellcheck: false, autocomplete: "off" });
  const groupField = el("div", { class: "field wide" }, el("label", { class: "field-label", htmlFor: "map-groups" }, "Groups, one a line"), groups);
  const nearField = el("div", { class: "field wide", hidden: true }, el("label", { class: "field-label", htmlFor: "map-near" }, "Words, each with its ten nearest"), near);
  const kind = choice("What is shown", [["groups", "word groups"], ["near", "nearest"], ["sentence", "sentence"]], settings.kind, (value) => {
    settings.kind = value;
    groupField.hidden = value !== "groups";
    nearField.hidden = value !== "near";
    draw();
  });
  const method = choice("Method", [["tsne", "t-SNE"], ["pca", "PCA"]], settings.method, (value) => {
    settings.method = value;
    draw();
  });
  const later = debounce(500, draw);
  groups.addEventListener("input", later);
  near.addEventListener("input", later);
  const fields = el("div", { class: "row-of-controls" }, el("div", { class: "field" }, el("span", { class: "field-label" }, "Show"), kind), el("div", { class: "field" }, el("span", { class: "field-label" }, "Method"), method));
  const button = (text, id, act) => el("button", { type: "button", id, onclick: act }, text);
  replace(
    box,
    fields,
    groupField,
    nearField,
    el("div", { id: "word-map" }),
    el("div", { class: "row-of-controls tight" }, button("Save PNG", "words-png", savePng), button("Save SVG", "words-svg", () => saveBlob(svgBlob(), "words.svg"))),
    note(
      el("p", {}, el("b", {}, "What a map cannot tell. "), "Two dimensions cannot be true to hundreds. t-SNE keeps words beside those they are most similar to; how large a group is, and how far two groups are apart, means nothing, runs differ, and its perplexity matters. PCA is a plain projection; its axes name the share of the variance, and what the rest holds is not seen."),
    ),
  );
  const map = byId("word-map");
  document.addEventListener("themechange", () => last && map.isConnected && render(map));
  new ResizeObserver(() => {
    if (last && map.clientWidth && map.querySelector("svg") && Math.abs(map.clientWidth - size.width) > 8 && map.clientWidth <= 1200) render(map);
  }).observe(map);
}

function question() {
  const common = { model: state.model, method: settings.method, seed: 42 };
  if (settings.kind === "near") return { ...common, near: byId("map-near").value.split(/\s+/).filter(Boolean).slice(0, 8), k: 10 };
  if (settings.kind === "sentence") return { ...common, ids: (state.tokens || []).map((token) => token.id).slice(0, 256) };
  const lines = byId("map-groups").value.split("\n").filter((line) => line.trim());
  const groups = lines.map((line, at) => {
    const [, name, words] = /^([^:]*):(.*)$/.exec(line) || [null, `group ${at + 1}`, line];
    return { name: name.trim().slice(0, 100) || `group ${at + 1}`, words: words.split(/[\s,]+/).filter(Boolean).slice(0, 256) };
  });
  return { ...common, groups: groups.slice(0, 16) };
}

async function draw() {
  const mine = (turn += 1);
  const box = byId("word-map");
  replace(box, busy("Placing the words"));
  try {
    const answer = await ask("map", question());
    if (mine !== turn) return;
    last = { ...answer, model: state.model };
    render(box);
  } catch (error) {
    if (mine === turn) replace(box, problem(error));
  }
}

// As many units as there are pixels, so that letters are as large on a narrow screen.
function measure(box) {
  size.width = Math.round(Math.max(300, Math.min(1200, box.clientWidth || 900)));
  size.height = Math.round(size.width < 600 ? size.width * 1.25 : size.width * 0.64);
}

function render(box) {
  measure(box);
  const groups = [...new Set(last.points.map((point) => point.group))];
  const places = placed(last.points);
  const root = svg("svg", { class: "word-map", viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": `${last.points.length} tokens, placed by ${last.method === "tsne" ? "t-SNE" : "PCA"}` });
  const ink = isDark() ? "#e8ebee" : "#1b2430";
  root.append(svg("rect", { width: size.width, height: size.height, fill: isDark() ? "#10151b" : "#ffffff" }));
  const labels = labelled(last.points, places);
  last.points.forEach((point, at) => {
    const group = groups.indexOf(point.group);
    const [x, y] = places[at];
    const mark = shape(SHAPES[group % SHAPES.length], x, y, point.centre ? 9 : 5.5, kinds()[group % kinds().length]);
    const label = labels[at] && svg("text", { x: labels[at][2], y: labels[at][1], "text-anchor": labels[at][3], "font-size": 13, fill: ink, "font-weight": point.centre ? 700 : 400 }, tokenText(point).replace(/^␣/, ""));
    root.append(svg("g", { class: "word-point", onclick: () => choose(point.id) }, svg("title", {}, `${tokenText(point)}, ${point.group}`), mark, label));
  });
  if (last.axes[0]) {
    root.append(svg("text", { x: size.width / 2, y: size.height - 10, "font-size": 12, fill: ink, "text-anchor": "middle" }, last.axes[0]));
    root.append(svg("text", { x: 16, y: size.height / 2, "font-size": 12, fill: ink, "text-anchor": "middle", transform: `rotate(-90 16 ${size.height / 2})` }, last.axes[1]));
  }
  const entry = (name, at) => {
    const key = svg("svg", { width: 16, height: 16, "aria-hidden": "true" }, shape(SHAPES[at % SHAPES.length], 8, 8, 5.5, kinds()[at % kinds().length]));
    const inside = last.points.filter((point) => point.group === name);
    return el("li", {}, el("span", { class: "group-name" }, key, name), " ", inside.map((point) => [tokenButton(point), " "]).flat());
  };
  replace(
    box,
    el("div", { class: "stage plain-stage" }, root),
    el("ul", { class: "groups", "aria-label": "The tokens by group" }, groups.map(entry)),
    last.unknown?.length ? el("p", { class: "quiet" }, `Not a single token in this model: ${last.unknown.join(", ")}.`) : null,
  );
}

function placed(points) {
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const to = (value, all, from, until) => {
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return from + ((value - low) / (high - low || 1)) * (until - from);
  };
  return points.map((point) => [to(point.x, xs, EDGE, size.width - EDGE - 40), to(point.y, ys, size.height - EDGE, EDGE)]);
}

// A label goes to the first place beside its point that no other label or point takes; without one it is left out.
function labelled(points, places) {
  const taken = places.map(([x, y]) => [x - 6, y - 6, x + 6, y + 6]);
  const order = points.map((_, at) => at).sort((a, b) => Number(points[b].centre) - Number(points[a].centre));
  const found = new Array(points.length).fill(null);
  for (const at of order) {
    const width = 7.4 * tokenText(points[at]).length;
    const [x, y] = places[at];
    const spots = [[x + 10, y + 4], [x - width - 12, y + 4], [x - width / 2, y - 10], [x - width / 2, y + 20], [x + 8, y - 8], [x + 8, y + 16]];
    for (const [left, base] of spots) {
      const box = [left, base - 12, left + width, base + 3];
      const isFree = box[0] > 2 && box[2] < size.width - 2 && taken.every((other, i) => i === at || box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]);
      if (!isFree) continue;
      taken.push(box);
      // What is left of its point ends there, however wide the letters are.
      found[at] = left + width < x ? [left, base, x - 11, "end"] : [left, base, left, "start"];
      break;
    }
  }
  return found;
}

function shape(kind, x, y, r, colour) {
  const path = {
    square: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    triangle: `M${x} ${y - r * 1.2}L${x + r * 1.1} ${y + r}H${x - r * 1.1}z`,
    down: `M${x} ${y + r * 1.2}L${x + r * 1.1} ${y - r}H${x - r * 1.1}z`,
    diamond: `M${x} ${y - r * 1.3}L${x + r * 1.3} ${y}L${x} ${y + r * 1.3}L${x - r * 1.3} ${y}z`,
    plus: `M${x - r} ${y}h${2 * r}M${x} ${y - r}v${2 * r}`,
    cross: `M${x - r} ${y - r}l${2 * r} ${2 * r}M${x + r} ${y - r}l${-2 * r} ${2 * r}`,
  }[kind];
  if (path) return svg("path", { d: path, fill: ["plus", "cross"].includes(kind) ? "none" : colour, stroke: colour, "stroke-width": ["plus", "cross"].includes(kind) ? 3 : 0 });
  return svg("circle", { cx: x, cy: y, r, fill: kind === "ring" ? "none" : colour, stroke: colour, "stroke-width": kind === "ring" ? 3 : 0 });
}

function svgBlob() {
  const copy = byId("word-map").querySelector("svg.word-map").cloneNode(true);
  copy.setAttribute("width", size.width);
  copy.setAttribute("height", size.height);
  copy.setAttribute("font-family", "system-ui, sans-serif");
  return new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
}

async function savePng() {
  const picture = new Image();
  const url = URL.createObjectURL(svgBlob());
  picture.src = url;
  await picture.decode();
  const canvas = el("canvas", { width: 2 * size.width, height: 2 * size.height });
  canvas.getContext("2d").drawImage(picture, 0, 0, 2 * size.width, 2 * size.height);
  URL.revokeObjectURL(url);
  canvas.toBlob((data) => saveBlob(data, "words.png"));
}
