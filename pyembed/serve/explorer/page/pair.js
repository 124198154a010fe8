// Two models side by side: the same word, and what comes near it in either.

import { ask } from "./api.js";
import { busy, byId, el, note, problem, replace } from "./dom.js";
import { chance, scoreTable } from "./neighbours.js";
import { state } from "./state.js";

let turn = 0;

export function showPair() {
  const box = byId("pair");
  if (box.firstChild) return;
  if (state.models.length < 2) {
    replace(
      box,
      note(el("p", {}, "This server shows one model. Name two to compare them: "), el("code", {}, "pyembed explore ONE.gguf TWO.gguf")),
    );
    return;
  }
  const pick = (id, text, chosen) => {
    const select = el("select", { id }, state.models.map((name) => el("option", { value: name, selected: name === chosen }, state.labels.get(name))));
    return el("p", { class: "field" }, el("label", { htmlFor: id, class: "field-label" }, text), select);
  };
  const word = el("input", { id: "pair-word", value: "king", autocomplete: "off", spellcheck: false, maxLength: 200 });
  const form = el(
    "form",
    { class: "asking fields" },
    pick("pair-left", "Left", state.model),
    pick("pair-right", "Right", state.models.find((name) => name !== state.model)),
    el("p", { class: "field" }, el("label", { htmlFor: "pair-word", class: "field-label" }, "Word"), el("span", { class: "joined" }, word, el("button", { class: "primary" }, "Compare"))),
  );
  const result = el("div", { id: "pair-result", "aria-live": "polite" });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    compare(result);
  });
  form.addEventListener("change", () => compare(result));
  replace(box, el("p", { class: "lead" }, "Rows of two models cannot be compared with each other; who their neighbours are can."), form, result);
  compare(result);
}

async function compare(box) {
  const mine = (turn += 1);
  replace(box, busy("Looking at all rows of both"));
  const names = ["pair-left", "pair-right"].map((id) => byId(id).value);
  const answers = await Promise.all(
    names.map((model) => ask("nearest", { model, word: byId("pair-word").value, k: 15 }).catch((error) => error)),
  );
  if (mine !== turn) return;
  const texts = answers.map((answer) => new Set(answer instanceof Error ? [] : answer.found.map((one) => shown(one))));
  const common = new Set([...texts[0]].filter((text) => texts[1].has(text)));
  const column = (answer, at) => {
    const head = el("h2", {}, state.labels.get(names[at]));
    if (answer instanceof Error) return el("div", {}, head, problem(answer));
    const stored = new Set(answer.found.filter((one) => common.has(shown(one))).map((one) => one.stored));
    return el("div", {}, head, scoreTable(answer, "cosine", stored, names[at]), chance(answer, "cosine"));
  };
  const n = Math.min(...answers.map((answer) => answer.found?.length ?? 0));
  replace(
    box,
    n > 0 && el("p", { class: "summary" }, `${common.size} of the ${n} nearest tokens are the same text in both models.`),
    el("div", { class: "two-columns" }, answers.map(column)),
  );
}

const shown = (one) => (one.text ?? `#${one.id}`).trim();
