// Points sorted into squares, so that the one under the pointer is found without looking at all.

const SIDE = 256;

export class Grid {
  constructor(x, y) {
    this.x = x;
    this.y = y;
    this.box = extent(x, y);
    const n = x.length;
    const cellOf = new Int32Array(n).fill(-1);
    this.starts = new Uint32Array(SIDE * SIDE + 1);
    for (let row = 0; row < n; row += 1) {
      if (!Number.isFinite(x[row]) || !Number.isFinite(y[row])) continue;
      cellOf[row] = this.column(x[row]) + SIDE * this.line(y[row]);
      this.starts[cellOf[row] + 1] += 1;
    }
    for (let cell = 0; cell < SIDE * SIDE; cell += 1) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.rows = new Uint32Array(this.starts[SIDE * SIDE]);
    for (let row = 0; row < n; row += 1) if (cellOf[row] >= 0) this.rows[next[cellOf[row]]++] = row;
  }

  column(x) {
    return clamp(((x - this.box.left) / (this.box.right - this.box.left)) * SIDE);
  }

  line(y) {
    return clamp(((y - this.box.bottom) / (this.box.top - this.box.bottom)) * SIDE);
  }

  // The row nearest to a point within a distance, of those for which isShown(row); -1 if there is none.
  nearest(x, y, distance, isShown) {
    let best = -1;
    let least = distance * distance;
    for (let line = this.line(y - distance); line <= this.line(y + distance); line += 1) {
      for (let column = this.column(x - distance); column <= this.column(x + distance); column += 1) {
        const cell = column + SIDE * line;
        for (let at = this.starts[cell]; at < this.starts[cell + 1]; at += 1) {
          const row = this.rows[at];
          const far = (this.x[row] - x) ** 2 + (this.y[row] - y) ** 2;
          if (far < least && isShown(row)) {
            least = far;
            best = row;
          }
        }
      }
    }
    return best;
  }
}

const clamp = (value) => Math.max(0, Math.min(SIDE - 1, Math.floor(value) || 0));

function extent(x, y) {
  const box = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity };
  for (let row = 0; row < x.length; row += 1) {
    if (!Number.isFinite(x[row]) || !Number.isFinite(y[row])) continue;
    box.left = Math.min(box.left, x[row]);
    box.right = Math.max(box.right, x[row]);
    box.bottom = Math.min(box.bottom, y[row]);
    box.top = Math.max(box.top, y[row]);
  }
  if (!(box.right > box.left)) box.right = (box.left ||= 0) + 1;
  if (!(box.top > box.bottom)) box.top = (box.bottom ||= 0) + 1;
  return box;
}
