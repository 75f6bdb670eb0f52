/** Progress of work whose length is known. */
export interface Progress {
  /** Clears the bar. May be called twice. */
  stop(): void;
}

const WIDTH = 30;
const DRAW_EVERY_MS = 250;
/** To the start of the line, and away with what stands there. */
const CLEAR_LINE = '\r\u001b[K';

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
    stderr.write(barOf('calling', share, seconds * (1 - share)));
  };
  draw();
  const timer = setInterval(draw, DRAW_EVERY_MS);
  return {
    stop: () => {
      clearInterval(timer);
      stderr.write(CLEAR_LINE);
    },
  };
}

/** Progress of work that says itself which share of it is done. */
export interface ShareProgress extends Progress {
  /** From 0 to 1. Drawn now and then, however often it is called. */
  update(share: number): void;
}

/** Draws a bar on standard error when that is a terminal, with the time left at the pace so far; elsewhere nothing. */
export function startShareProgress(label: string): ShareProgress {
  const { stderr } = process;
  if (!stderr.isTTY) return { update: () => undefined, stop: () => undefined };
  const startedAt = performance.now();
  let drawnAt = Number.NEGATIVE_INFINITY;
  return {
    update: (share) => {
      const now = performance.now();
      if (now - drawnAt < DRAW_EVERY_MS) return;
      drawnAt = now;
      const leftSeconds = share > 0 ? (((now - startedAt) / share) * (1 - share)) / 1_000 : undefined;
      stderr.write(barOf(label, Math.min(1, share), leftSeconds));
    },
    stop: () => stderr.write(CLEAR_LINE),
  };
}

function barOf(label: string, share: number, leftSeconds: number | undefined): string {
  const full = Math.round(share * WIDTH);
  const left = leftSeconds === undefined ? '' : `${Math.ceil(leftSeconds)} s left`;
  return `${CLEAR_LINE}  ${label} [${'█'.repeat(full)}${' '.repeat(WIDTH - full)}] ${left}`;
}
