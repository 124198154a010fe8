// Neighbours by cosine and by dot product, each beside what random rows score; sums of words.

import { ask } from "./api.js";
import { busy, byId, el, fixed, note, problem, replace } from "./dom.js";
import { tokenButton } from "./tokens.js";
import { state } from "./state.js";

const SUMS = ["king - man + woman", "Paris - France + Japan", "walking - walked + swam", "France - Paris + Tokyo", "big - bigger + smaller"];
const turns = { word: 0, sum: 0 };

// A table of what was found, with random rows below it and a line where 99 of 100 random scores end.
export function scoreTable(answer, metric, common = new Set(), model = undefined) {
  const row = (one) =>
    el(
      "tr",
      {},
      el("td", {}, tokenButton(one, model), common.has(one.stored) && el("span", { class: "tag" }, "in both")),
      el("td", { class: "number quiet" }, String(one.id)),
      el("td", { class: metric === "cosine" ? "number by" : "number" }, fixed(one.cosine, 4)),
      el("td", { class: metric === "dot" ? "number by" : "number" }, fixed(one.dot, 3)),
    );
  const heads = [["token", ""], ["id", "number"], ["cosine", "number"], ["dot", "number"]];
  return el(
    "table",
    { class: "scores" },
    el("caption", {}, metric === "cosine" ? "Nearest by cosine" : "Nearest by dot product"),
    el("thead", {}, el("tr", {}, heads.map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))),
    el("tbody", {}, answer.found.map(row)),
    el("tbody", { class: "chance" }, el("tr", {}, el("th", { colSpan: 4, scope: "rowgroup" }, "Random tokens, for comparison")), answer.random.map(row)),
  );
}

export function chance(answer, metric) {
  const base = answer.baseline;
  if (!base) return null;
  const digits = metric === "cosine" ? 4 : 3;
  return el("p", { class: "quiet" }, `${base.n} random rows: mean ${fixed(base.mean, digits)}, 95 of 100 below ${fixed(base.p95, digits)}, 99 below ${fixed(base.p99, digits)}.`);
}

async function bothMetrics(name, fields) {
  return Promise.all(["cosine", "dot"].map((metric) => ask(name, { model: state.model, k: 10, metric, ...fields })));
}

async function show(kind, box, question, fields, before) {
  const mine = (turns[kind] += 1);
  replace(box, busy("Looking at all rows"));
  try {
    const [cosine, dot] = await bothMetrics(question, fields);
    if (mine !== turns[kind]) return;
    const columns = [el("div", {}, scoreTable(cosine, "cosine"), chance(cosine, "cosine")), el("div", {}, scoreTable(dot, "dot"), chance(dot, "dot"))];
    replace(box, before ? before(cosine) : null, before ? el("div", { class: "two-columns" }, columns) : columns);
  } catch (error) {
    if (mine === turns[kind]) replace(box, problem(error));
  }
}

export const findWord = () => show("word", byId("neighbours"), "nearest", { word: byId("word").value });

function terms(answer, sum) {
  const spelled = [...answer.positive.map((one) => ["+", one]), ...answer.negative.map((one) => ["−", one])];
  const published = state.file?.published.sum;
  const list = (some) => some.map(([word, cosine, dot]) => `${word} ${cosine.toFixed(2)} and ${dot.toFixed(1)}`).join(", ");
  const isPublished = published && sum.trim().replace(/\s+/g, " ") === published.sum;
  return el(
    "div",
    {},
    el("p", { class: "terms" }, spelled.map(([sign, one]) => [` ${sign} `, tokenButton(one)]).flat()),
    isPublished && note(el("p", {}, el("b", {}, "As published for GPT-2, another model: "), `${list(published.found)} (cosine and dot product); random tokens ${list(published.random)}.`)),
  );
}

export const addUp = () => {
  const sum = byId("sum").value;
  return show("sum", byId("sum-result"), "sum", { sum }, (answer) => terms(answer, sum));
};

// The pairs of words that lessons print for GPT-2, with this model's cosines beside the published ones.
export async function showPairs() {
  const published = state.file.published.cosines;
  try {
    const { pairs } = await ask("pairs", { model: state.model, pairs: published.map(([one, other]) => [one, other]) });
    const bar = (value, kind) => el("span", { class: `pair-bar ${kind}`, "aria-hidden": "true", style: { width: `${Math.max(0, 100 * (value ?? 0))}%` } });
    const row = ({ words, cosine, tokens }, at) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, tokens.length ? [tokenButton(tokens[0]), " ", tokenButton(tokens[1])] : words.join(", ")),
        el("td", { class: "number by" }, fixed(cosine, 4)),
        el("td", { class: "number quiet" }, fixed(published[at][2], 4)),
        el("td", { class: "bar-cell" }, bar(cosine, "here"), bar(published[at][2], "there")),
      );
    const heads = [["words", ""], ["this model", "number"], ["GPT-2, published", "number"]].map(([text, kind]) => el("th", { scope: "col", class: kind }, text));
    const missing = pairs.some((pair) => pair.cosine === null);
    replace(
      byId("pairs"),
      el("table", { class: "scores pairs" }, el("caption", { class: "hidden" }, "Cosines of pairs of words"), el("thead", {}, el("tr", {}, heads, el("td", { class: "bar-cell" }))), el("tbody", {}, pairs.map(row))),
      missing && el("p", { class: "quiet" }, "Words without a number are not a single token in this model."),
    );
  } catch (error) {
    replace(byId("pairs"), problem(error));
  }
}

export function startNeighbours() {
  byId("word-form").addEventListener("submit", (event) => {
    event.preventDefault();
    findWord();
    document.dispatchEvent(new CustomEvent("choose", { detail: { word: byId("word").value } }));
  });
  byId("sum-form").addEventListener("submit", (event) => {
    event.preventDefault();
    addUp();
  });
  const press = (sum) => () => {
    byId("sum").value = sum;
    addUp();
  };
  replace(byId("sum-examples"), "Others: ", SUMS.map((sum) => el("button", { type: "button", class: "text-button", onclick: press(sum) }, sum)));
  document.addEventListener("chosen", ({ detail }) => {
    if (byId("view-neighbours").hidden || !document.activeElement?.classList.contains("token-link")) return;
    byId("word").value = `#${detail.id}`;
  });
}
