/** Progress of work whose length is known. */
export interface Progress {
  /** Clears the bar. May be called twice. */
  stop(): void;
}

const WIDTH = 30;
const DRAW_EVERY_MS = 250;

/** Draws a bar for work of `seconds` on standard error when that is a terminal; elsewhere says one line. */
export function startProgress(seconds: number): Progress {
  const { stderr } = process;
  if (!stderr.isTTY) {
    stderr.write(`calling for ${seconds} s\n`);
    return { stop: () => undefined };
  }
  const startedAt = performance.now();
  const draw = () => {
    const share = Math.min(1, (performance.now() - startedAt) / (seconds * 1_000));
    const full = Math.round(share * WIDTH);
    const left = Math.ceil(seconds * (1 - share));
    stderr.write(`\r  calling [${'█'.repeat(full)}${' '.repeat(WIDTH - full)}] ${left} s left `);
  };
  draw();
  const timer = setInterval(draw, DRAW_EVERY_MS);
  return {
    stop: () => {
      clearInterval(timer);
      stderr.write('\r\u001b[K');
    },
  };
}
