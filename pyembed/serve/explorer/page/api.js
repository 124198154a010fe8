// Asking the server: JSON both ways, and the bytes of all tokens.

import { byId } from "./dom.js";

const BASE = new URL("../", import.meta.url);

async function failure(response) {
  let message = `the server answered ${response.status}`;
  try {
    const found = await response.json();
    message = typeof found.error === "string" ? found.error : found.error?.message || message;
  } catch {
    // the answer is not JSON: its status is all there is
  }
  return Object.assign(new Error(message), { status: response.status });
}

// A server with a key makes the browser itself ask for it.
async function fetched(path, options) {
  const response = await fetch(new URL(path, BASE), options);
  if (!response.ok) throw await failure(response);
  return response;
}

// Questions that look at all rows wait for each other: two at once would take longer, each of them.
const SCANS = new Set(["nearest", "sum"]);
let scanning = Promise.resolve();

export function ask(name, fields) {
  if (!SCANS.has(name)) return asked(name, fields);
  const answer = scanning.then(() => asked(name, fields));
  scanning = answer.catch(() => {});
  return answer;
}

async function asked(name, fields) {
  const begun = performance.now();
  const body = JSON.stringify(fields);
  const response = await fetched(name, { method: "POST", headers: { "content-type": "application/json" }, body });
  const answer = await response.json();
  const taken = performance.now() - begun;
  const shown = byId("answer-time");
  if (shown) shown.textContent = `Last answer: ${taken < 10 ? taken.toFixed(1) : Math.round(taken)} ms`;
  return answer;
}

export async function models() {
  return (await fetched("models", {})).json();
}

export async function blob(path) {
  return (await fetched(path, {})).blob();
}

export async function cloud(model, method) {
  const query = new URLSearchParams({ model, method });
  const buffer = await (await fetched(`cloud?${query}`, {})).arrayBuffer();
  const size = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  let at = 4 + size;
  for (const name of head.arrays) {
    const kind = ["x", "y", "norm"].includes(name) ? Float32Array : Uint8Array;
    head[name] = new kind(buffer, at, head.n);
    at += head[name].byteLength;
  }
  return head;
}

export function decoded(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
  return bytes;
}

export const floats = (text) => new Float32Array(decoded(text).buffer);
