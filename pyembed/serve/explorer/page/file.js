// The file: sizes, the table's share of all parameters beside published ones, tied or not, what validation finds.

import { ask } from "./api.js";
import { busy, byId, bytesText, choice, el, fixed, grouped, problem, replace } from "./dom.js";
import { state } from "./state.js";
import { choose } from "./tokens.js";

let shown = null;

export function showFile() {
  if (shown === state.model || !state.file) return;
  shown = state.model;
  const file = state.file;
  const tied = el("dd", { id: "tied" }, "comparing");
  replace(
    byId("file"),
    el("p", { class: "lead" }, file.title && file.title !== file.file ? `${file.title}, ` : "", el("code", {}, file.file)),
    el(
      "div",
      { class: "tiles" },
      tile("Table", `${grouped(file.rows)} × ${grouped(file.columns)}`, `${file.tensor}, ${file.layout}`),
      tile("Stored size", bytesText(file.n_bytes), `of ${bytesText(file.all_bytes)} of all tensors`),
      tile("Parameters", count(file.table_weights), `of ${count(file.all_weights)} in the file`),
      tile("Share of parameters", file.share === null ? "–" : `${fixed(100 * file.share, file.share < 0.01 ? 2 : 1)} %`, file.share === 1 ? "the file holds nothing else" : "in the token table"),
    ),
    el(
      "dl",
      { class: "facts wide" },
      file.architecture && [el("dt", {}, "architecture"), el("dd", {}, file.architecture)],
      file.vocabulary && [el("dt", {}, "vocabulary"), el("dd", {}, `${grouped(file.vocabulary.n)} tokens, ${[file.vocabulary.model, file.vocabulary.pre].filter(Boolean).join(" / ")}`)],
      file.no_vocabulary && [el("dt", {}, "vocabulary"), el("dd", {}, problem(new Error(file.no_vocabulary)))],
      file.vocabulary?.special.length ? [el("dt", {}, "special"), el("dd", {}, file.vocabulary.special.map(({ role, id }) => [idLink(id, role), " "]).flat())] : null,
      [el("dt", {}, "output table"), tied],
    ),
    el("h2", {}, "Beside published models"),
    publishedTable(file),
    el("h2", {}, "The same table in other types"),
    sizesTable(file),
    el("div", { class: "section-head" }, el("h2", {}, "Validation"), file.validates && choice("How deep", [["order", "header and order"], ["full", "all bytes"]], "order", validate)),
    el("div", { id: "validation", "aria-live": "polite" }),
  );
  tieOf(tied);
  if (file.validates) validate("order");
  else replace(byId("validation"), el("p", { class: "quiet" }, "Validation is for GGUF models."));
}

const count = (n) => (n >= 1e9 ? `${(n / 1e9).toPrecision(3)} G` : n >= 1e6 ? `${(n / 1e6).toPrecision(4)} M` : grouped(n));

function tile(name, value, more) {
  return el("div", { class: "tile" }, el("p", { class: "eyebrow" }, name), el("p", { class: "tile-value" }, value), el("p", { class: "quiet" }, more));
}

function idLink(id, text = `#${id}`) {
  return el("button", { type: "button", class: "token-link", title: `#${id}`, onclick: () => choose(id), data: { id } }, text);
}

async function tieOf(node) {
  const words = {
    absent: "tied: the file has no output table of its own",
    bytes: "tied by bytes: the output table is the token table, byte for byte",
    no: "not tied: the output table has other bytes",
  };
  try {
    node.textContent = words[(await ask("tied", { model: state.model })).tied] ?? "there is nothing to tie";
  } catch (error) {
    replace(node, problem(error));
  }
}

function publishedTable(file) {
  const own = { name: file.name, rows: file.rows, columns: file.columns, share: file.share, isOwn: true };
  const all = [...file.published.models, own].sort((a, b) => a.rows * a.columns - b.rows * b.columns);
  const most = Math.max(...all.map((one) => one.rows * one.columns));
  const row = (one) => {
    const n = one.rows * one.columns;
    const twin = !one.isOwn && one.rows === file.rows && one.columns === file.columns;
    return el(
      "tr",
      { class: one.isOwn ? "own" : twin ? "twin" : "" },
      el("th", { scope: "row" }, one.name, one.isOwn && el("span", { class: "tag" }, "this file"), twin && el("span", { class: "tag" }, "same shape")),
      el("td", { class: "number" }, `${grouped(one.rows)} × ${grouped(one.columns)}`),
      el("td", { class: "number" }, count(n)),
      el("td", { class: "bar-cell" }, el("span", { class: "bar-mark", style: { width: `${Math.max(1, (100 * n) / most)}%` } })),
      el("td", { class: "number" }, bytesText(2 * n)),
      el("td", { class: "number" }, one.share === null ? "–" : `${fixed(100 * one.share, one.share < 0.01 ? 2 : 1)} %`),
    );
  };
  const heads = [["model", ""], ["table", "number"], ["parameters", "number"], ["", "bar-cell"], ["in float16", "number"], ["share of all", "number"]];
  const head = el("tr", {}, heads.map(([text, kind]) => (text ? el("th", { scope: "col", class: kind }, text) : el("td", { class: kind }))));
  const table = el("table", { class: "published" }, el("caption", { class: "hidden" }, "Token tables of published models"), el("thead", {}, head), el("tbody", {}, all.map(row)));
  return el("div", { class: "scroller", tabIndex: 0, role: "region", "aria-label": "Published models" }, table);
}

function sizesTable(file) {
  const rows = file.sizes.map(({ type, n_bytes }) =>
    el("tr", { class: type === file.type ? "own" : "" }, el("th", { scope: "row" }, type, type === file.type && el("span", { class: "tag" }, "stored")), el("td", { class: "number" }, n_bytes === null ? el("abbr", { title: "its rows do not divide into blocks" }, "–") : bytesText(n_bytes))),
  );
  const head = el("tr", {}, el("th", { scope: "col" }, "type"), el("th", { scope: "col", class: "number" }, "size"));
  return el("table", { class: "sizes" }, el("caption", { class: "hidden" }, "Size of the table by type"), el("thead", {}, head), el("tbody", {}, rows));
}

async function validate(level) {
  const model = state.model;
  const box = byId("validation");
  replace(box, busy(level === "full" ? "Reading all bytes" : "Looking at header and order"));
  try {
    const report = await ask("validation", { model, level });
    if (model === state.model) replace(box, verdict(report), findings(report));
  } catch (error) {
    if (model === state.model) replace(box, problem(error));
  }
}

function verdict(report) {
  const words = report.ok ? "No error was found" : "Errors were found";
  return el("div", { class: report.ok ? "verdict" : "verdict bad" }, el("p", {}, el("b", {}, `${words}; verdict: ${report.verdict}.`)), el("p", { class: "quiet" }, report.summary));
}

function findings(report) {
  if (!report.findings.length) return el("p", { class: "quiet" }, "There are no findings.");
  const ids = (one) => {
    if (one.first_id === null) return "";
    const [first, last] = [one.first_id, one.last_id ?? one.first_id];
    const inside = (id) => (id < state.file.rows ? idLink(id) : `#${id}`);
    if (last === first) return inside(last);
    const isRun = one.n_ids === null || one.n_ids === last - first + 1;
    return [inside(first), " to ", inside(last), isRun ? null : `, ${grouped(one.n_ids)} ids`];
  };
  const row = (one) => el("tr", {}, el("td", {}, el("span", { class: `severity is-${one.severity}` }, one.severity)), el("td", {}, el("code", {}, one.rule)), el("td", {}, one.message), el("td", {}, ids(one)));
  const head = el("tr", {}, ["severity", "rule", "what", "ids"].map((text) => el("th", { scope: "col" }, text)));
  const omitted = Object.entries(report.omitted).map(([rule, n]) => `${grouped(n)} more of ${rule}`);
  return el(
    "div",
    {},
    el("div", { class: "scroller", tabIndex: 0, role: "region", "aria-label": "Findings" }, el("table", { class: "findings" }, el("caption", { class: "hidden" }, "Findings"), el("thead", {}, head), el("tbody", {}, report.findings.map(row)))),
    omitted.length ? el("p", { class: "quiet" }, `${omitted.join(", ")}.`) : null,
  );
}
