// The chosen token: what it is, its row, where that lies, its neighbours, and another row beside it.

import { ask, decoded, floats } from "./api.js";
import { cells } from "./cells.js";
import { busy, byId, bytesText, debounce, el, fixed, grouped, problem, replace, tokenText } from "./dom.js";
import { chip, tokenButton } from "./tokens.js";
import { state } from "./state.js";

let turn = 0;

export async function inspect(what) {
  const mine = (turn += 1);
  const box = byId("inspected");
  if (!box.querySelector(".inspected-head")) replace(box, busy("Reading the row"));
  try {
    const model = what.model ?? state.model;
    const row = await ask("row", { ...what, model });
    if (mine !== turn) return;
    if (model === state.model) state.chosen = row;
    show(box, row, model);
    if (model === state.model) document.dispatchEvent(new CustomEvent("chosen", { detail: row }));
    const near = await ask("nearest", { model, id: row.id, k: 6 });
    if (mine === turn) nearList(box.querySelector(".near-list"), near, model);
  } catch (error) {
    if (mine === turn) replace(box, problem(error));
  }
}

function show(box, row, model) {
  const block = el("div", { class: "raw" });
  const body = cells([{ label: tokenText(row), values: floats(row.values) }], (column) => rawBlock(block, row, column));
  rawBlock(block, row, 0);
  replace(
    box,
    el(
      "div",
      { class: "inspected-head" },
      el("p", { class: "eyebrow" }, state.models.length > 1 ? `Chosen token of ${state.labels.get(model)}` : "Chosen token"),
      el("p", { class: "big-token" }, chip(row, 0), el("span", { class: "quiet" }, `#${row.id}`)),
      facts(row),
    ),
    el("h3", {}, "Row"),
    body,
    el("div", { class: "compare" }, compareForm(row, model), el("div", { class: "compared", "aria-live": "polite" })),
    el("h3", {}, "Nearest by cosine"),
    el("div", { class: "near-list" }, busy("Looking at all rows")),
    el("h3", {}, "Where it lies"),
    placesOf(row),
    el("h3", {}, "Bytes as stored"),
    block,
  );
}

function facts(row) {
  const list = el("dl", { class: "facts" });
  const add = (name, ...value) => list.append(el("dt", {}, name), el("dd", {}, ...value));
  add("type", row.type + (row.roles.length ? ` (${row.roles.join(", ")})` : ""));
  if (row.stored !== null) add("stored as", el("code", {}, row.stored));
  if (row.bytes) add("bytes", el("code", {}, spaced(row.bytes)));
  add("norm", fixed(row.norm, 4), row.rank === null ? "" : rankBar(row.rank, row.ranked));
  return list;
}

function rankBar(rank, n) {
  const text = `longer than ${fixed(100 * rank, 1)} % of ${n.toLocaleString("en")} rows`;
  return el("span", { class: "rank" }, el("span", { class: "rank-bar", "aria-hidden": "true" }, el("span", { style: { width: `${100 * rank}%` } })), el("span", { class: "quiet" }, text));
}

const spaced = (hex) => hex.replace(/(..)(?!$)/g, "$1 ");

function placesOf(row) {
  if (!row.places.length) return el("p", { class: "quiet" }, "Rows of this table are found through a mapping or in shards with scales.");
  return el(
    "dl",
    { class: "facts" },
    row.places.flatMap((place) => [
      el("dt", {}, place.tensor),
      el("dd", {}, `${place.file}, byte ${grouped(place.offset)} (0x${place.offset.toString(16)}), ${bytesText(place.n_bytes)}`),
    ]),
  );
}

function rawBlock(node, row, column) {
  const bytes = decoded(row.raw);
  const { weights, bytes: size } = row.block;
  const index = Math.floor(column / weights);
  const begin = Math.min(index * size, row.raw_codes);
  // Where a weight is a block of its own, its neighbours are shown along with it.
  const span = size < 16 ? Math.min(row.raw_codes - begin, 16 - (16 % size)) : Math.min(size, 256);
  const part = Array.from(bytes.subarray(begin, begin + span), (byte) => byte.toString(16).padStart(2, "0"));
  const what = weights > 1 ? `Block ${index}: columns ${index * weights} to ${index * weights + weights - 1}` : `From column ${column}`;
  const more = bytes.length > row.raw_codes ? `; ${bytes.length - row.raw_codes} bytes of scales stand behind the codes` : "";
  replace(node, el("p", { class: "quiet" }, `${what}, bytes ${begin} to ${begin + span - 1} of the row${more}`), el("code", { class: "hex" }, part.join(" ")));
}

function nearList(node, answer, model) {
  if (!node) return;
  replace(
    node,
    el("ol", { class: "plain" }, answer.found.map((one) => el("li", {}, tokenButton(one, model), el("span", { class: "number" }, fixed(one.cosine, 4))))),
    answer.baseline && el("p", { class: "quiet" }, `Of 100 random rows, 99 stay below ${fixed(answer.baseline.p99, 4)}.`),
  );
}

function compareForm(row, model) {
  const input = el("input", { id: "compare-with", autocomplete: "off", spellcheck: false, maxLength: 200, placeholder: "another word, or #id" });
  const compare = async () => {
    const target = document.querySelector(".compared");
    if (!input.value.trim()) return replace(target);
    try {
      const other = await ask("row", { model, word: input.value });
      const answer = await ask("similarity", { model, ids: [row.id, other.id] });
      const one = floats(row.values);
      const two = floats(other.values);
      const difference = one.map((value, at) => value - two[at]);
      const rows = [
        { label: tokenText(row), values: one },
        { label: tokenText(other), values: two },
        { label: "difference", values: difference },
      ];
      replace(
        target,
        el("p", {}, "From above: ", tokenButton(row, model), " ", tokenButton(other, model), " and their difference. Cosine ", el("b", {}, fixed(answer.scores[0][1], 4)), "."),
        cells(rows),
      );
    } catch (error) {
      replace(target, problem(error));
    }
  };
  input.addEventListener("input", debounce(300, compare));
  return el("p", { class: "field" }, el("label", { htmlFor: "compare-with", class: "field-label" }, "Compare cell by cell with"), input);
}
