// The map of all tokens as files: pictures of what is in view, and all points for other programs.

import { blob } from "./api.js";
import { css } from "./colours.js";
import { el, problem, replace, saveBlob } from "./dom.js";

export function savePng(map) {
  map.draw(map.cloud.n);
  const picture = el("canvas", { width: map.canvas.width, height: map.canvas.height });
  const context = picture.getContext("2d");
  context.drawImage(map.canvas, 0, 0);
  context.drawImage(map.overlay, 0, 0);
  picture.toBlob((data) => saveBlob(data, `${map.model}-${map.method}.png`));
}

// One path a colour, whose steps of no length are drawn as round dots.
export function saveSvg(map) {
  const { width, height } = map.canvas;
  const { codes, colours } = map.painting;
  const dots = colours.map(() => []);
  for (let row = 0; row < map.cloud.n; row += 1) {
    if (!map.isShown(row)) continue;
    const [x, y] = map.toScreen(row);
    if (x >= 0 && y >= 0 && x <= width && y <= height) dots[codes[row]].push(`M${x.toFixed(1)} ${y.toFixed(1)}h0`);
  }
  const paths = dots.map((some, code) => some.length && `<path d="${some.join("")}" stroke="${css(colours[code])}"/>`);
  const body = paths.filter(Boolean).join("\n");
  const text = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" fill="none" stroke-width="2" stroke-linecap="round">\n${body}\n</svg>\n`;
  saveBlob(new Blob([text], { type: "image/svg+xml" }), `${map.model}-${map.method}.svg`);
}

export async function saveParquet(map) {
  try {
    const query = new URLSearchParams({ model: map.model, method: map.method });
    saveBlob(await blob(`tokens.parquet?${query}`), `${map.model}-${map.method}.parquet`);
  } catch (error) {
    replace(map.frames, problem(error));
  }
}
