// A row as coloured cells. The pointer, or the arrow keys, choose a column, which is named below the cells.

import { css, isDark, scaleOf, signed } from "./colours.js";
import { el, fixed } from "./dom.js";

const MOST_HEIGHT = 220;

// rows: [{label, values: Float32Array}], all as wide; onpick(column) is called as columns are chosen.
export function cells(rows, onpick = () => {}) {
  const columns = rows[0].values.length;
  const scale = scaleOf(...rows.map((row) => row.values));
  const canvas = el("canvas", {
    class: "cells",
    tabIndex: 0,
    role: "slider",
    "aria-label": `Numbers of ${rows.map((row) => row.label).join(", ")}: column`,
    "aria-valuemin": 0,
    "aria-valuemax": columns - 1,
    "aria-valuenow": 0,
    "aria-valuetext": valueText(rows, 0),
  });
  const readout = el("p", { class: "readout" }, "Point at a cell, or use the arrow keys, to read a number.");
  const node = el("div", { class: "cells-box" }, canvas, readout, scaleBar(scale));
  const state = { size: 8, perLine: columns, chosen: -1, lines: 1 };

  function layout() {
    const width = Math.max(120, node.clientWidth || 320);
    const room = MOST_HEIGHT / rows.length;
    state.size = Math.max(3, Math.min(20, Math.floor(Math.sqrt((width * room) / columns))));
    state.perLine = Math.max(1, Math.min(columns, Math.floor(width / state.size)));
    state.lines = Math.ceil(columns / state.perLine);
    draw();
  }

  function bandTop(index) {
    return index * (state.lines * state.size + 8);
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = state.perLine * state.size;
    const height = bandTop(rows.length) - 8;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const gap = state.size >= 6 ? 1 : 0;
    rows.forEach((row, index) => {
      for (let column = 0; column < columns; column += 1) {
        context.fillStyle = css(signed(row.values[column], scale));
        const [x, y] = place(column);
        context.fillRect(x, y + bandTop(index), state.size - gap, state.size - gap);
      }
    });
    if (state.chosen >= 0) {
      context.lineWidth = 2;
      context.strokeStyle = isDark() ? "#fff" : "#000";
      const [x, y] = place(state.chosen);
      rows.forEach((_, index) => context.strokeRect(x - 0.5, y + bandTop(index) - 0.5, state.size, state.size));
    }
  }

  function place(column) {
    return [(column % state.perLine) * state.size, Math.floor(column / state.perLine) * state.size];
  }

  function choose(column) {
    if (column < 0 || column >= columns || column === state.chosen) return;
    state.chosen = column;
    const text = valueText(rows, column);
    readout.textContent = text;
    canvas.setAttribute("aria-valuenow", String(column));
    canvas.setAttribute("aria-valuetext", text);
    draw();
    onpick(column);
  }

  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const y = (event.clientY - box.top) % (state.lines * state.size + 8);
    const line = Math.floor(y / state.size);
    const across = Math.floor((event.clientX - box.left) / state.size);
    if (line < state.lines && across < state.perLine) choose(line * state.perLine + across);
  });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -state.perLine, ArrowDown: state.perLine };
    if (event.key in steps) choose(Math.max(0, Math.min(columns - 1, Math.max(0, state.chosen) + steps[event.key])));
    else if (event.key === "Home") choose(0);
    else if (event.key === "End") choose(columns - 1);
    else return;
    event.preventDefault();
  });
  new ResizeObserver(layout).observe(node);
  document.addEventListener("themechange", () => canvas.isConnected && draw());
  return node;
}

function valueText(rows, column) {
  const numbers = rows.map((row) => (rows.length > 1 ? `${row.label} ${fixed(row.values[column], 5)}` : fixed(row.values[column], 6)));
  return `Column ${column}: ${numbers.join(",  ")}`;
}

function scaleBar(scale) {
  const canvas = el("canvas", { class: "scale-bar", width: 120, height: 8, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  for (let x = 0; x < 120; x += 1) {
    context.fillStyle = css(signed((x / 119) * 2 - 1, 1));
    context.fillRect(x, 0, 1, 8);
  }
  return el("p", { class: "scale quiet" }, fixed(-scale, 3), canvas, fixed(scale, 3));
}
