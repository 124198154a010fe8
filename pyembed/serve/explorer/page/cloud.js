// The map of all tokens: zoom, search, colours, exports.

import { ask, cloud as fetchCloud } from "./api.js";
import { css, isDark } from "./colours.js";
import { busy, byId, choice, debounce, el, fixed, grouped, note, problem, replace, tokenText } from "./dom.js";
import { measureFrames } from "./frames.js";
import { Grid } from "./grid.js";
import { COLOURINGS, paletteOf, painting } from "./paint.js";
import { createRenderer } from "./renderer.js";
import { saveParquet, savePng, saveSvg } from "./saving.js";
import { state } from "./state.js";
import { choose, tokenButton } from "./tokens.js";

const SMOOTH_MS = 14;
const LEAST_MOVING = 20000;
const PICK_PIXELS = 12;

class CloudMap {
  constructor(box) {
    this.box = box;
    this.method = "pca";
    this.colouring = "script";
    this.found = [];
    this.texts = new Map();
    this.build();
  }

  build() {
    this.canvas = el("canvas", { class: "points", tabIndex: 0, role: "application", "aria-describedby": "cloud-help" });
    this.overlay = el("canvas", { class: "overlay", "aria-hidden": "true" });
    this.tip = el("p", { class: "tip", hidden: true });
    this.stage = el("div", { class: "stage" }, this.canvas, this.overlay, this.tip);
    this.facts = el("p", { class: "quiet", id: "cloud-facts", "aria-live": "polite" });
    this.frames = el("p", { class: "quiet", id: "cloud-frames", "aria-live": "polite" });
    this.legend = el("div", { class: "cloud-legend", role: "group", "aria-label": "Kinds of tokens" });
    this.results = el("div", { id: "cloud-results", "aria-live": "polite" });
    this.searchBox = el("input", { id: "cloud-search", type: "search", autocomplete: "off", spellcheck: false, maxLength: 200, placeholder: "a part of a token, or #id" });
    const button = (text, act, properties = {}) => el("button", { type: "button", onclick: act, ...properties }, text);
    replace(
      this.box,
      el(
        "div",
        { class: "row-of-controls" },
        el("div", { class: "field" }, el("label", { class: "field-label", htmlFor: "cloud-search" }, "Search"), this.searchBox),
        el("div", { class: "field" }, el("span", { class: "field-label" }, "Colour by"), choice("Colour by", COLOURINGS, this.colouring, (value) => this.colour(value))),
        el("div", { class: "field" }, el("span", { class: "field-label" }, "Projection"), choice("Projection", [["pca", "PCA"], ["random", "random"]], this.method, (value) => this.load(value))),
      ),
      this.results,
      this.stage,
      el("p", { class: "hidden", id: "cloud-help" }, "Arrow keys move the map, plus and minus zoom, 0 shows all of it, Enter chooses the token nearest to the middle."),
      el(
        "div",
        { class: "row-of-controls tight" },
        button("Zoom in", () => this.zoomBy(1.6)),
        button("Zoom out", () => this.zoomBy(1 / 1.6)),
        button("Show all", () => this.fit()),
        button("Save PNG", () => savePng(this), { id: "cloud-png" }),
        button("Save SVG", () => saveSvg(this), { id: "cloud-svg" }),
        button("Save Parquet", () => saveParquet(this), { id: "cloud-parquet" }),
        button("Measure frames", () => this.measure(), { id: "cloud-measure" }),
      ),
      this.legend,
      this.facts,
      this.frames,
      note(
        el("p", {}, el("b", {}, "What this map cannot tell. "), "It is a flat shadow of hundreds of directions: tokens that lie together here may be far apart in the directions that are not drawn, and most of the variance is not seen. Random directions keep distances only roughly. Trust the neighbours, which use all numbers of a row."),
        el("p", {}, "The Parquet file opens in embedding-atlas: ", el("code", {}, "embedding-atlas tokens.parquet --text text --x projection_x --y projection_y")),
      ),
    );
    this.listen();
  }

  async load(method) {
    this.method = method;
    const model = state.model;
    replace(this.facts, busy("Reading all rows once; the next visit is quick"));
    try {
      const cloud = await fetchCloud(model, method);
      if (model !== state.model || method !== this.method) return;
      this.model = model;
      this.use(cloud);
    } catch (error) {
      replace(this.facts, problem(error));
    }
  }

  use(cloud) {
    this.cloud = cloud;
    this.grid = new Grid(cloud.x, cloud.y);
    const fresh = this.canvas.cloneNode();
    this.canvas.replaceWith(fresh); // a canvas keeps the kind of context that it had
    this.canvas = fresh;
    this.listenToCanvas();
    const wanted = new URLSearchParams(location.search).get("renderer");
    this.renderer = createRenderer(this.canvas, cloud.x, cloud.y, wanted);
    this.movingCount = cloud.n;
    this.canvas.setAttribute("aria-label", `Map of ${grouped(cloud.n)} tokens`);
    this.canvas.dataset.renderer = this.renderer.name;
    this.canvas.dataset.points = String(cloud.n);
    const shares = cloud.shares.map((share) => `${fixed(100 * share, 1)} %`).join(" and ");
    const how = cloud.method === "pca" ? "PCA: the two directions in which" : "Random directions: for";
    this.facts.textContent = `${grouped(cloud.n)} tokens. ${how} a sample of ${grouped(cloud.n_sample)} rows${cloud.method === "pca" ? " differs most" : ""}, ${shares} of the variance is seen. Drawn by ${this.renderer.name}.`;
    this.resize();
    this.fit();
    this.colour(this.colouring);
  }

  colour(by) {
    this.colouring = by;
    if (!this.cloud) return;
    this.painting = painting(this.cloud, by);
    this.hidden = new Set();
    this.renderer.setCodes(this.painting.codes);
    this.drawLegend();
    this.redraw();
  }

  drawLegend() {
    const { names, counts, colours, ends } = this.painting;
    if (ends) {
      const bar = el("span", { class: "ramp" }, colours.map((colour) => el("span", { style: { background: css(colour) } })));
      return replace(this.legend, el("span", { class: "quiet" }, `norm ${fixed(ends[0], 3)}`), bar, el("span", { class: "quiet" }, fixed(ends[1], 3)));
    }
    const codes = names.map((_, code) => code).filter((code) => counts[code] > 0);
    const entry = (code) =>
      el(
        "button",
        { type: "button", class: "legend-entry", "aria-pressed": String(!this.hidden.has(code)), onclick: () => this.toggle(code, codes) },
        el("span", { class: "swatch", style: { background: css(colours[code]) } }),
        names[code],
        el("span", { class: "quiet" }, grouped(counts[code])),
      );
    const unknown = this.colouring === "training" ? this.cloud.no_untrained : "";
    replace(this.legend, codes.map(entry), unknown && el("p", { class: "quiet" }, unknown));
  }

  // The first press shows one kind alone; further ones add and take away.
  toggle(code, codes) {
    if (this.hidden.size === 0) codes.filter((other) => other !== code).forEach((other) => this.hidden.add(other));
    else if (this.hidden.has(code)) this.hidden.delete(code);
    else this.hidden.add(code);
    if (codes.every((one) => this.hidden.has(one))) this.hidden.clear();
    this.drawLegend();
    this.redraw();
  }

  // ------------------------------------------------------------------------------------------ drawing

  resize() {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    this.ratio = ratio;
    for (const canvas of [this.canvas, this.overlay]) {
      canvas.width = Math.max(1, Math.round(this.stage.clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(this.stage.clientHeight * ratio));
    }
  }

  fit() {
    if (!this.cloud) return;
    const { left, right, bottom, top } = this.grid.box;
    const zoom = 0.94 * Math.min(this.canvas.width / (right - left), this.canvas.height / (top - bottom));
    this.view = { x: (left + right) / 2, y: (bottom + top) / 2, zoom };
    this.wholeZoom = zoom;
    this.redraw();
  }

  redraw(isMoving = false) {
    this.isMoving = isMoving;
    clearTimeout(this.still);
    if (isMoving) this.still = setTimeout(() => this.redraw(), 160);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw(this.isMoving ? this.movingCount : this.cloud.n);
    });
  }

  draw(count) {
    if (!this.cloud || !this.canvas.width) return;
    const closer = this.view.zoom / this.wholeZoom;
    const dense = Math.sqrt(60000 / this.cloud.n);
    const size = this.ratio * Math.max(1.2, Math.min(9, (dense < 1 ? 1.5 : 3) * closer ** 0.45));
    const alpha = Math.max(0.35, Math.min(1, 0.45 * dense * closer ** 0.5 + 0.2));
    const background = isDark() ? [0.063, 0.082, 0.106] : [1, 1, 1];
    const begun = performance.now();
    this.renderer.draw(this.view, paletteOf(this.painting, this.hidden, alpha), size, count, background);
    if (count === this.cloud.n) {
      this.renderer.finish();
      const taken = performance.now() - begun;
      this.movingCount = taken <= SMOOTH_MS ? count : Math.min(count, Math.max(LEAST_MOVING, Math.floor((count * SMOOTH_MS) / taken)));
    }
    this.drawOverlay();
  }

  drawOverlay() {
    const context = this.overlay.getContext("2d");
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    const ink = isDark() ? "#fff" : "#000";
    context.font = `${12 * this.ratio}px system-ui, sans-serif`;
    const taken = [];
    const ring = (row, radius, label) => {
      const [x, y] = this.toScreen(row);
      if (!(x > 0 && y > 0 && x < this.overlay.width && y < this.overlay.height)) return;
      context.lineWidth = 3.5 * this.ratio;
      context.strokeStyle = isDark() ? "#10151b" : "#fff";
      context.beginPath();
      context.arc(x, y, radius * this.ratio, 0, 7);
      context.stroke();
      context.lineWidth = 1.75 * this.ratio;
      context.strokeStyle = ink;
      context.stroke();
      const left = x + (radius + 4) * this.ratio;
      const box = [left, y - 9 * this.ratio, left + context.measureText(label).width, y + 7 * this.ratio];
      // A label that would cover another is left out: the list above has its text.
      if (!label || taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) return;
      taken.push(box);
      context.lineWidth = 4 * this.ratio;
      context.strokeStyle = isDark() ? "#10151b" : "#fff";
      context.strokeText(label, left, y + 4 * this.ratio);
      context.fillStyle = ink;
      context.fillText(label, left, y + 4 * this.ratio);
    };
    if (state.chosen && state.chosen.id < this.cloud.n) ring(state.chosen.id, 9, tokenText(state.chosen));
    this.found.slice(0, 40).forEach((token, at) => ring(token.id, 5, at < 12 ? tokenText(token) : ""));
    if (document.activeElement === this.canvas) {
      const [x, y] = [this.overlay.width / 2, this.overlay.height / 2];
      context.lineWidth = this.ratio;
      context.strokeStyle = ink;
      context.strokeRect(x - 6 * this.ratio, y, 12 * this.ratio, 0.01);
      context.strokeRect(x, y - 6 * this.ratio, 0.01, 12 * this.ratio);
    }
  }

  toScreen(row) {
    const { x, y, zoom } = this.view;
    return [(this.cloud.x[row] - x) * zoom + this.canvas.width / 2, this.canvas.height / 2 - (this.cloud.y[row] - y) * zoom];
  }

  toWorld(event) {
    const box = this.canvas.getBoundingClientRect();
    const across = (event.clientX - box.left) * this.ratio - this.canvas.width / 2;
    const down = (event.clientY - box.top) * this.ratio - this.canvas.height / 2;
    return [this.view.x + across / this.view.zoom, this.view.y - down / this.view.zoom];
  }

  // ----------------------------------------------------------------------------------------- movement

  zoomBy(factor, at = [this.view.x, this.view.y]) {
    if (!this.cloud) return;
    const zoom = Math.max(this.wholeZoom * 0.5, Math.min(this.wholeZoom * 5000, this.view.zoom * factor));
    const kept = this.view.zoom / zoom;
    this.view = { x: at[0] + (this.view.x - at[0]) * kept, y: at[1] + (this.view.y - at[1]) * kept, zoom };
    this.redraw(true);
  }

  moveBy(across, down) {
    this.view = { ...this.view, x: this.view.x - across / this.view.zoom, y: this.view.y + down / this.view.zoom };
    this.redraw(true);
  }

  goTo(row) {
    const [x, y] = [this.cloud.x[row], this.cloud.y[row]];
    if (!Number.isFinite(x)) return;
    this.view = { x, y, zoom: Math.max(this.view.zoom, this.wholeZoom * 6) };
    this.redraw();
  }

  isShown = (row) => !this.hidden.has(this.painting.codes[row]);

  listen() {
    const search = async () => {
      const text = this.searchBox.value;
      if (!text.trim()) {
        this.found = [];
        replace(this.results);
        return this.cloud && this.redraw();
      }
      try {
        const { tokens } = await ask("search", { model: state.model, text, most: 40 });
        if (text !== this.searchBox.value) return;
        this.found = tokens;
        const links = tokens.slice(0, 12).map((token) => tokenButton(token));
        links.forEach((link, at) => link.addEventListener("click", () => this.cloud && this.goTo(tokens[at].id)));
        replace(this.results, tokens.length ? links : el("p", { class: "quiet" }, "No token has that in its text."));
        if (this.cloud) this.redraw();
      } catch (error) {
        replace(this.results, problem(error));
      }
    };
    this.searchBox.addEventListener("input", debounce(150, search));
    new ResizeObserver(() => {
      if (!this.cloud || !this.stage.clientWidth) return;
      const wasHidden = this.canvas.width <= 1; // while the points came
      this.resize();
      if (wasHidden) this.fit();
      else this.redraw();
    }).observe(this.stage);
    document.addEventListener("chosen", () => this.cloud && this.redraw());
    document.addEventListener("themechange", () => this.cloud && this.colour(this.colouring));
  }

  listenToCanvas() {
    const { canvas } = this;
    const pointers = new Map();
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * 0.0015), this.toWorld(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: 0 });
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (!last) return this.hover(event);
      const [across, down] = [event.clientX - last.x, event.clientY - last.y];
      if (pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const [before, after] = [last, { x: event.clientX, y: event.clientY }].map((one) => Math.hypot(one.x - other.x, one.y - other.y));
        this.zoomBy(after / Math.max(1, before), this.toWorld({ clientX: other.x, clientY: other.y }));
      } else this.moveBy(across * this.ratio, down * this.ratio);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: last.moved + Math.abs(across) + Math.abs(down) });
    });
    canvas.addEventListener("pointerup", (event) => {
      const last = pointers.get(event.pointerId);
      pointers.delete(event.pointerId);
      if (last && last.moved < 5) this.pick(event);
    });
    canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    canvas.addEventListener("focus", () => this.cloud && this.drawOverlay());
    canvas.addEventListener("blur", () => this.cloud && this.drawOverlay());
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const step = 60 * this.ratio;
    const acts = {
      ArrowLeft: () => this.moveBy(step, 0),
      ArrowRight: () => this.moveBy(-step, 0),
      ArrowUp: () => this.moveBy(0, step),
      ArrowDown: () => this.moveBy(0, -step),
      "+": () => this.zoomBy(1.4),
      "=": () => this.zoomBy(1.4),
      "-": () => this.zoomBy(1 / 1.4),
      0: () => this.fit(),
      Enter: () => this.chooseNear(this.view.x, this.view.y, 200),
    };
    if (!(event.key in acts) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    acts[event.key]();
  }

  near(x, y, pixels) {
    return this.grid.nearest(x, y, (pixels * this.ratio) / this.view.zoom, this.isShown);
  }

  chooseNear(x, y, pixels) {
    const row = this.near(x, y, pixels);
    if (row >= 0) choose(row);
  }

  pick(event) {
    this.chooseNear(...this.toWorld(event), PICK_PIXELS);
  }

  hover(event) {
    const row = this.near(...this.toWorld(event), PICK_PIXELS);
    this.tip.hidden = row < 0;
    if (row < 0) return;
    const box = this.stage.getBoundingClientRect();
    const isRight = event.clientX - box.left > box.width / 2;
    this.tip.style.left = isRight ? "auto" : `${event.clientX - box.left + 14}px`;
    this.tip.style.right = isRight ? `${box.right - event.clientX + 14}px` : "auto";
    this.tip.style.top = `${event.clientY - box.top + 10}px`;
    this.tip.dataset.row = String(row);
    const known = this.texts.get(`${this.model} ${row}`);
    this.tip.textContent = known ?? `#${row}`;
    if (known === undefined) this.name(row);
  }

  name = debounce(40, async (row) => {
    try {
      const { tokens } = await ask("names", { model: this.model, ids: [row] });
      const text = `${tokenText(tokens[0])}  #${row}, norm ${fixed(this.cloud.norm[row], 3)}`;
      this.texts.set(`${this.model} ${row}`, text);
      if (this.tip.dataset.row === String(row)) this.tip.textContent = text;
    } catch {
      // the id stays
    }
  });

  // ------------------------------------------------------------------------------------------- frames

  async measure() {
    this.draw(this.cloud.n);
    const kept = this.view;
    const move = (phase) => {
      const turn = 2 * Math.PI * phase;
      const reach = 80 / kept.zoom;
      this.view = { x: kept.x + reach * Math.sin(turn), y: kept.y + reach * (1 - Math.cos(turn)), zoom: kept.zoom * (1 + 0.5 * Math.sin(turn / 2)) };
    };
    const found = {};
    for (const [name, count] of [["moving", this.movingCount], ["all", this.cloud.n]]) {
      found[name] = await measureFrames(move, () => {
        this.draw(count);
        this.renderer.finish();
      });
      found[name].points = count;
    }
    this.view = kept;
    this.redraw();
    const text = ({ points, between, drawing }) => `${grouped(points)} points: ${fixed(between.median, 1)} ms between frames (95 of 100 within ${fixed(between.p95, 1)}), ${fixed(drawing.median, 1)} ms of them drawing`;
    this.frames.textContent = `While it moves, ${text(found.moving)}. All at each frame, ${text(found.all)}. ${this.renderer.name}.`;
    this.canvas.dataset.frames = JSON.stringify({ renderer: this.renderer.name, ...found });
  }
}

let map = null;

export function showCloud() {
  map ??= new CloudMap(byId("cloud-view"));
  if (map.model !== state.model) map.load(map.method);
}
