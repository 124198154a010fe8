// Colours of numbers and of kinds. Signed numbers: negative warm, positive cyan, near zero dark slate; both
// sides are as light for the same magnitude, so that sign is hue alone and magnitude lightness alone.

const SLATE = [27, 37, 48];
const WARM = [SLATE, [110, 53, 25], [191, 90, 28], [242, 151, 77], [255, 223, 184]];
const CYAN = [SLATE, [10, 79, 92], [0, 133, 154], [47, 194, 216], [185, 242, 251]];
export const NOT_A_NUMBER = [255, 255, 255];

function between(stops, share) {
  const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(at));
  return stops[low].map((value, i) => Math.round(value + (stops[low + 1][i] - value) * (at - low)));
}

export function signed(value, scale) {
  if (!Number.isFinite(value)) return NOT_A_NUMBER;
  return between(value < 0 ? WARM : CYAN, scale > 0 ? Math.abs(value) / scale : 0);
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

// Black or white, whichever is read more easily.
export function inkOn([r, g, b]) {
  const light = [r, g, b].map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] > 0.18 ? "#000" : "#fff";
}

// The magnitude that 98 of 100 numbers stay below: a single outlier would leave all others dark.
export function scaleOf(...rows) {
  const sizes = [];
  for (const row of rows) for (const value of row) if (Number.isFinite(value)) sizes.push(Math.abs(value));
  if (!sizes.length) return 1;
  sizes.sort((a, b) => a - b);
  return sizes[Math.min(sizes.length - 1, Math.floor(sizes.length * 0.98))] || sizes[sizes.length - 1] || 1;
}

// Okabe and Ito's colours, distinct with any kind of colour blindness, in two strengths for the two themes.
const KINDS = {
  light: ["#0072b2", "#d55e00", "#009e73", "#b8578f", "#b57a00", "#3a9bd9", "#5b4a9c", "#7a6a00", "#3b3b3b", "#8a8f96", "#b9bec4"],
  dark: ["#5ab4e8", "#ff9350", "#35d0a5", "#f0a5cf", "#ffc44d", "#a6dcff", "#b3a5f5", "#e6dc6a", "#f2f2f2", "#98a2ad", "#66717c"],
};
export const SHAPES = ["circle", "square", "triangle", "diamond", "down", "plus", "cross", "ring"];

export const isDark = () => document.documentElement.dataset.theme === "dark";
export const kinds = () => (isDark() ? KINDS.dark : KINDS.light);

export function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// From dark to light, evenly, for every kind of colour blindness (the stops of cividis).
const EVEN = [[0, 32, 77], [36, 56, 107], [77, 81, 109], [107, 107, 113], [139, 134, 120], [173, 164, 111], [209, 195, 90], [253, 231, 55]];
export const even = (share) => between(EVEN, share);
