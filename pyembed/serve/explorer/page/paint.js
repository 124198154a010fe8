// What the colours of the map of all tokens say: a number a point, a colour a number, and their names.

import { even, isDark, kinds, rgb } from "./colours.js";
import { MOST_CODES } from "./renderer.js";

const LEVELS = 16;

export const COLOURINGS = [
  ["script", "script"],
  ["type", "type"],
  ["norm", "norm"],
  ["training", "untrained"],
];

// Returns {codes, names, counts, colours, ends}: names and counts a code; ends, of norms, in place of names.
export function painting(cloud, by) {
  if (by === "norm") return normPainting(cloud);
  const names = { type: cloud.types, script: cloud.scripts, training: cloud.training_names }[by];
  const codes = cloud[by];
  const counts = new Array(names.length).fill(0);
  for (const code of codes) counts[code] += 1;
  // The most frequent kinds get the colours that differ most; trained rows stay in the background.
  const palette = kinds().map(rgb);
  const ranked = names.map((_, code) => code).sort((a, b) => counts[b] - counts[a]);
  const colours = new Array(names.length);
  ranked.forEach((code, place) => (colours[code] = palette[place % palette.length]));
  if (by === "training") [palette[palette.length - 2], palette[4], palette[1]].forEach((colour, code) => (colours[code] = colour));
  return { codes, names, counts, colours, ends: null };
}

function normPainting(cloud) {
  const sorted = Float32Array.from(cloud.norm.filter(Number.isFinite)).sort();
  const low = sorted[Math.floor(sorted.length * 0.01)] ?? 0;
  const high = sorted[Math.floor(sorted.length * 0.99)] ?? 1;
  const codes = new Uint8Array(cloud.n);
  for (let row = 0; row < cloud.n; row += 1) {
    const share = (cloud.norm[row] - low) / (high - low || 1);
    codes[row] = Math.max(0, Math.min(LEVELS - 1, Math.floor(share * LEVELS) || 0));
  }
  // The end of the scale that is near the background is left out.
  const colours = Array.from({ length: LEVELS }, (_, level) => even((isDark() ? 0.25 : 0) + (0.85 * level) / LEVELS));
  return { codes, names: null, counts: null, colours, ends: [low, high] };
}

// The colours as the renderer takes them; codes that are not shown have no alpha.
export function paletteOf(painting, hidden, alpha) {
  const palette = new Float32Array(4 * MOST_CODES);
  painting.colours.forEach((colour, code) => {
    palette.set([...colour.map((value) => value / 255), hidden.has(code) ? 0 : alpha], 4 * code);
  });
  return palette;
}
