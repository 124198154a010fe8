// Tokens as coloured pieces, and a text as a line of them with their similarities below.

import { ask } from "./api.js";
import { css, inkOn, signed } from "./colours.js";
import { busy, byId, choice, debounce, el, fixed, problem, replace, tokenText } from "./dom.js";
import { state } from "./state.js";

const SPECIAL = new Set(["control", "user defined"]);
const MOST_COMPARED = 48;
let turn = 0;
let metric = "cosine";

function kindOf(token, position) {
  if (token.type === "unknown" || token.roles?.includes("unk")) return ["unknown", "unknown token"];
  if (SPECIAL.has(token.type)) return ["special", `${token.type} token`];
  if (token.type === "byte") return ["byte", "a byte"];
  if (token.type === "unused" || token.type === "no token") return ["unused", token.type];
  return [`t${position % 4}`, ""];
}

export function chip(token, position) {
  const [kind, words] = kindOf(token, position);
  return el("span", { class: `chip ${kind}`, title: words || null }, tokenText(token));
}

// A token is one of the model that the page shows, unless another is named.
export const choose = (id, model = state.model) => document.dispatchEvent(new CustomEvent("choose", { detail: { id, model } }));

// A token in a list: a press shows its row.
export function tokenButton(token, model) {
  return el("button", { type: "button", class: "token-link", onclick: () => choose(token.id, model), data: { id: token.id } }, tokenText(token));
}

function chipButton(token, position, withBytes) {
  const [kind, words] = kindOf(token, position);
  const said = [tokenText(token), `id ${token.id}`, words].filter(Boolean).join(", ");
  return el(
    "button",
    { type: "button", class: `chip ${kind}`, "aria-label": said, "aria-pressed": String(state.chosen?.id === token.id), data: { id: token.id }, onclick: () => choose(token.id) },
    el("span", { class: "chip-text" }, tokenText(token)),
    withBytes && el("span", { class: "chip-more" }, String(token.id)),
    withBytes && el("span", { class: "chip-more" }, token.type),
    withBytes && el("span", { class: "chip-more" }, token.bytes.replace(/(..)(?!$)/g, "$1 ").slice(0, 35)),
  );
}

export async function cutSentence() {
  const mine = (turn += 1);
  const box = byId("chips");
  const text = byId("sentence").value;
  try {
    const { tokens } = await ask("tokens", { model: state.model, text, special: byId("special").checked });
    if (mine !== turn) return;
    state.tokens = tokens;
    drawChips();
    const letters = [...text].length;
    byId("sentence-facts").textContent = `${tokens.length} tokens of ${letters} characters`;
    await drawMatrix(mine);
  } catch (error) {
    if (mine === turn) replace(box, problem(error));
  }
}

function drawChips() {
  const withBytes = byId("show-bytes").checked;
  byId("chips").classList.toggle("detailed", withBytes);
  replace(byId("chips"), (state.tokens || []).map((token, at) => chipButton(token, at, withBytes)));
}

async function drawMatrix(mine) {
  const box = byId("matrix");
  const tokens = state.tokens.slice(0, MOST_COMPARED);
  if (tokens.length < 2) return replace(box, el("p", { class: "quiet" }, "A text of two tokens or more has similarities."));
  if (!box.firstChild) replace(box, busy("Comparing the tokens"));
  const answer = await ask("similarity", { model: state.model, ids: tokens.map((token) => token.id), metric });
  if (mine !== turn) return;
  replace(box, matrixTable(tokens, answer), chanceOf(answer, tokens.length));
}

function matrixTable(tokens, { scores }) {
  const off = scores.flatMap((row, i) => row.filter((_, j) => i !== j).map(Math.abs).filter(Number.isFinite));
  const scale = metric === "cosine" ? 1 : Math.max(...off, 1e-30);
  const digits = metric === "cosine" ? 2 : 1;
  const isRoomy = tokens.length <= 14;
  const head = el("tr", {}, el("td"), tokens.map((token) => el("th", { scope: "col" }, el("span", {}, tokenText(token)))));
  const body = tokens.map((token, i) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, tokenText(token)),
      scores[i].map((score, j) => {
        const colour = signed(score ?? NaN, scale);
        const text = fixed(score, digits);
        const title = `${tokenText(token)} and ${tokenText(tokens[j])}: ${fixed(score, 4)}`;
        return el("td", { title, style: { background: css(colour), color: inkOn(colour) } }, el("span", { class: isRoomy ? "" : "hidden" }, text));
      }),
    ),
  );
  const table = el("table", { class: isRoomy ? "matrix roomy" : "matrix" }, el("caption", { class: "hidden" }, `Similarity of the tokens, ${metric}`), el("thead", {}, head), el("tbody", {}, body));
  return el("div", { class: "scroller", tabIndex: 0, role: "region", "aria-label": "Similarity matrix" }, table);
}

function chanceOf({ baseline }, n) {
  const cut = state.tokens.length > n ? ` The first ${n} of ${state.tokens.length} tokens are compared.` : "";
  if (!baseline) return el("p", { class: "quiet" }, cut);
  return el("p", { class: "quiet" }, `Random pairs of rows: mean ${fixed(baseline.mean, 4)}, 99 of 100 below ${fixed(baseline.p99, 4)}.${cut}`);
}

export function startText() {
  const later = debounce(120, cutSentence);
  byId("sentence").addEventListener("input", later);
  byId("special").addEventListener("change", cutSentence);
  byId("show-bytes").addEventListener("change", drawChips);
  replace(
    byId("matrix-metric"),
    choice("Measure", [["cosine", "cosine"], ["dot", "dot product"]], metric, (value) => {
      metric = value;
      if (state.tokens) drawMatrix(turn).catch((error) => replace(byId("matrix"), problem(error)));
    }),
  );
  document.addEventListener("chosen", ({ detail }) => {
    for (const one of byId("chips").querySelectorAll("button")) one.setAttribute("aria-pressed", String(Number(one.dataset.id) === detail.id));
  });
}
