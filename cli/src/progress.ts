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
      const full = Math.round(Math.min(1, share) * WIDTH);
      const left =
        share > 0 ? `${Math.ceil((((now - startedAt) / share) * (1 - share)) / 1_000)} s left` : '';
      stderr.write(`\r  ${label} [${'█'.repeat(full)}${' '.repeat(WIDTH - full)}] ${left}\u001b[K`);
    },
    stop: () => stderr.write('\r\u001b[K'),
  };
}
