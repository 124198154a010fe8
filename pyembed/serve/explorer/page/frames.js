// How long frames take while the map moves: what is measured is what a person sees.

const N_FRAMES = 90;

// move(phase) sets the view for a phase from 0 to 1, draw() draws it at once and waits until it is drawn.
export function measureFrames(move, draw) {
  return new Promise((resolve) => {
    const between = [];
    const drawing = [];
    let last = 0;
    const step = (now) => {
      if (last) between.push(now - last);
      last = now;
      if (between.length >= N_FRAMES) return resolve({ between: summary(between), drawing: summary(drawing) });
      move(between.length / N_FRAMES);
      const begun = performance.now();
      draw();
      drawing.push(performance.now() - begun);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
}

function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)], p95: sorted[Math.floor(sorted.length * 0.95)] };
}
