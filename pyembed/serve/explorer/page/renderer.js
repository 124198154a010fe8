// Points on a canvas: by WebGL where hardware does it, else pixel by pixel, which is quicker than WebGL in software. Both draw points in a shuffled order, so
// that the first ones, however many, are a fair sample: these are drawn while the map moves, if all take long.

export const MOST_CODES = 32;

const VERTEX = `
attribute vec2 position; attribute float code;
uniform vec2 scale, shift; uniform float size; uniform vec4 palette[${MOST_CODES}];
varying vec4 colour;
void main() {
  colour = palette[int(code)];
  gl_Position = colour.a > 0.0 ? vec4(position * scale + shift, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = size;
}`;
const FRAGMENT = `
precision mediump float; varying vec4 colour;
void main() { gl_FragColor = vec4(colour.rgb * colour.a, colour.a); }`;

// wanted: "webgl" (in software too) or "2d"; without it what is quickest.
export function createRenderer(canvas, x, y, wanted) {
  const order = shuffled(x.length);
  if (wanted !== "2d") {
    const options = { antialias: false, failIfMajorPerformanceCaveat: wanted !== "webgl" };
    const gl = canvas.getContext("webgl2", options) || canvas.getContext("webgl", options);
    if (gl) return new WebGL(canvas, gl, order, x, y);
  }
  return new Pixels(canvas, order, x, y);
}

// The same shuffle each time.
function shuffled(n) {
  const order = new Uint32Array(n);
  let seed = 12345;
  for (let at = 0; at < n; at += 1) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const other = seed % (at + 1);
    order[at] = order[other];
    order[other] = at;
  }
  return order;
}

class WebGL {
  constructor(canvas, gl, order, x, y) {
    Object.assign(this, { canvas, gl, order, n: x.length });
    const named = gl.getExtension("WEBGL_debug_renderer_info");
    const what = named ? gl.getParameter(named.UNMASKED_RENDERER_WEBGL) : gl.getParameter(gl.RENDERER);
    this.name = `WebGL, ${what}`;
    const program = (this.program = link(gl));
    gl.useProgram(program);
    const points = new Float32Array(2 * this.n);
    order.forEach((row, at) => {
      const isThere = Number.isFinite(x[row]) && Number.isFinite(y[row]);
      points[2 * at] = isThere ? x[row] : 1e6;
      points[2 * at + 1] = isThere ? y[row] : 1e6;
    });
    attribute(gl, program, "position", points, 2, gl.FLOAT);
    this.codeBuffer = attribute(gl, program, "code", new Uint8Array(this.n), 1, gl.UNSIGNED_BYTE);
    this.places = Object.fromEntries(["scale", "shift", "size", "palette"].map((name) => [name, gl.getUniformLocation(program, name)]));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  setCodes(codes) {
    const { gl } = this;
    const ordered = new Uint8Array(this.n);
    this.order.forEach((row, at) => (ordered[at] = codes[row]));
    gl.bindBuffer(gl.ARRAY_BUFFER, this.codeBuffer);
    gl.bufferData(gl.ARRAY_BUFFER, ordered, gl.STATIC_DRAW);
  }

  // view: {x, y, zoom} in pixels of the canvas; palette: Float32Array of red, green, blue, alpha a code.
  draw(view, palette, size, count, background) {
    const { gl, canvas, places } = this;
    const half = [canvas.width / 2, canvas.height / 2];
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(...background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(places.scale, view.zoom / half[0], view.zoom / half[1]);
    gl.uniform2f(places.shift, (-view.x * view.zoom) / half[0], (-view.y * view.zoom) / half[1]);
    gl.uniform1f(places.size, size);
    gl.uniform4fv(places.palette, palette);
    gl.drawArrays(gl.POINTS, 0, count);
  }

  finish() {
    this.gl.readPixels(0, 0, 1, 1, this.gl.RGBA, this.gl.UNSIGNED_BYTE, new Uint8Array(4));
  }
}

function link(gl) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) || "WebGL failed");
  return program;
}

function attribute(gl, program, name, data, size, type) {
  const buffer = gl.createBuffer();
  const place = gl.getAttribLocation(program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, size, type, false, 0, 0);
  return buffer;
}

class Pixels {
  constructor(canvas, order, x, y) {
    Object.assign(this, { canvas, order, n: x.length, name: "Canvas 2D (no WebGL in hardware)" });
    this.context = canvas.getContext("2d");
    this.x = Float32Array.from(order, (row) => x[row]);
    this.y = Float32Array.from(order, (row) => y[row]);
    this.codes = new Uint8Array(this.n);
  }

  setCodes(codes) {
    this.codes = Uint8Array.from(this.order, (row) => codes[row]);
  }

  draw(view, palette, size, count, background) {
    const { width, height } = this.canvas;
    if (this.image?.width !== width || this.image?.height !== height) {
      this.image = this.context.createImageData(width, height);
      this.words = new Uint32Array(this.image.data.buffer);
    }
    this.words.fill(word(background));
    const colours = Array.from({ length: MOST_CODES }, (_, code) => (palette[4 * code + 3] > 0 ? word(palette.subarray(4 * code, 4 * code + 3)) : 0));
    const side = Math.max(1, Math.round(size));
    for (let at = 0; at < count; at += 1) {
      const colour = colours[this.codes[at]];
      if (colour === 0) continue;
      const left = Math.round((this.x[at] - view.x) * view.zoom + width / 2 - side / 2);
      const top = Math.round(height / 2 - (this.y[at] - view.y) * view.zoom - side / 2);
      // False for NaN too.
      if (!(left >= 0 && top >= 0 && left + side <= width && top + side <= height)) continue;
      for (let line = 0; line < side; line += 1) {
        const from = (top + line) * width + left;
        this.words.fill(colour, from, from + side);
      }
    }
    this.context.putImageData(this.image, 0, 0);
  }

  finish() {}
}

const word = ([r, g, b]) => ((255 << 24) | (Math.round(b * 255) << 16) | (Math.round(g * 255) << 8) | Math.round(r * 255)) >>> 0;
