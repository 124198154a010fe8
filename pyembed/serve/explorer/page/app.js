// The page: which view is shown, of which model, in which theme.

import { ask, models } from "./api.js";
import { byId, el, problem, replace } from "./dom.js";
import { showCloud } from "./cloud.js";
import { showFile } from "./file.js";
import { inspect } from "./inspector.js";
import { addUp, findWord, showPairs, startNeighbours } from "./neighbours.js";
import { showPair } from "./pair.js";
import { state } from "./state.js";
import { cutSentence, startText } from "./tokens.js";
import { showWords } from "./wordmap.js";

const VIEWS = ["text", "neighbours", "map", "file", "pair"];
const filled = { neighbours: "" };

// ---------------------------------------------------------------------------------------------- theme

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-label", `Switch to the ${theme === "dark" ? "light" : "dark"} theme`);
  document.dispatchEvent(new CustomEvent("themechange"));
}

function startTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(localStorage.getItem("theme") || (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => localStorage.getItem("theme") || setTheme(system.matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    setTheme(theme);
  });
}

// ---------------------------------------------------------------------------------------------- views

function viewNow() {
  const wanted = location.hash.replace(/^#\//, "");
  return VIEWS.includes(wanted) ? wanted : "text";
}

function showView() {
  const view = viewNow();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.dataset.view !== view;
  for (const link of document.querySelectorAll(".tabs a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (document.body.dataset.view && document.body.dataset.view !== view) scrollTo(0, 0);
  document.body.dataset.view = view;
  if (!state.file) return;
  if (view === "file") showFile();
  if (view === "pair") showPair();
  if (view === "map") showMap();
  if (view === "neighbours" && filled.neighbours !== state.model) {
    filled.neighbours = state.model;
    findWord();
    addUp();
    showPairs();
  }
}

function showMap() {
  const isAll = byId("map-all").getAttribute("aria-pressed") === "true";
  byId("cloud-view").hidden = !isAll;
  byId("words-view").hidden = isAll;
  if (isAll) showCloud();
  else showWords();
}

function startMap() {
  const buttons = [byId("map-all"), byId("map-words")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      showMap();
    });
  }
}

// --------------------------------------------------------------------------------------------- models

async function useModel(name) {
  state.model = name;
  state.chosen = null;
  state.file = await ask("file", { model: name });
  document.title = `${state.file.name}: pyembed explorer`;
  showView();
  await Promise.all([cutSentence(), firstToken()]);
  await ask("prepare", { model: name });
  document.documentElement.dataset.ready = name;
}

// The page begins with a token whose row can be seen.
async function firstToken() {
  const found = await ask("row", { model: state.model, word: "king" }).catch(() => ({ id: 0 }));
  await inspect({ id: found.id });
}

async function start() {
  startTheme();
  startText();
  startNeighbours();
  startMap();
  addEventListener("hashchange", showView);
  showView();
  document.addEventListener("choose", ({ detail }) => inspect(detail));
  const select = byId("model");
  select.addEventListener("change", () => useModel(select.value).catch(fail));
  const found = await models();
  state.models = found.names;
  state.labels = new Map(found.names.map((name, at) => [name, found.models[at]]));
  replace(select, found.names.map((name) => el("option", { value: name }, state.labels.get(name))));
  await useModel(found.names[0]);
}

function fail(error) {
  const notice = byId("notice");
  replace(notice, problem(error));
  notice.hidden = false;
}

start().catch(fail);
