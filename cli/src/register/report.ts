import type { RegistrationEvent } from '@nearfar/protocol';

/** Says how a registration goes on, on standard error. */
export interface Reporter {
  event(event: RegistrationEvent): void;
  /** Progress of a step that is not the mesh's, such as sending files. */
  progress(what: string, done: number, total: number): void;
  note(message: string): void;
  /** Clears what is under way. May be called twice. */
  stop(): void;
}

const WIDTH = 24;
const DRAW_EVERY_MS = 100;

/** A bar where standard error is a terminal, one line for each variant anywhere. */
export function createReporter(): Reporter {
  const { stderr } = process;
  let drawnAt = 0;
  const clear = () => {
    if (stderr.isTTY) stderr.write('\r\u001b[K');
  };
  const line = (text: string) => {
    clear();
    stderr.write(`${text}\n`);
  };
  const progress = (what: string, done: number, total: number) => {
    if (!stderr.isTTY || total === 0) return;
    const now = performance.now();
    if (now - drawnAt < DRAW_EVERY_MS && done < total) return;
    drawnAt = now;
    const full = Math.round((done / total) * WIDTH);
    const bar = `${'█'.repeat(full)}${' '.repeat(WIDTH - full)}`;
    const text = `  [${bar}] ${Math.floor((done / total) * 100)} % ${what}`;
    stderr.write(`\r\u001b[K${text.slice(0, Math.max(20, (stderr.columns ?? 80) - 1))}`);
  };
  return {
    progress,
    note: (message) => line(message),
    stop: clear,
    event: (event) => {
      if (event.type === 'progress') {
        progress(
          `${event.phase}${event.variant === undefined ? '' : ` ${event.variant}`}`,
          event.done,
          event.total,
        );
      } else if (event.type === 'variant') {
        line(`${event.status} ${event.variant}${event.reason === undefined ? '' : `: ${event.reason}`}`);
      } else if (event.type === 'note') {
        line(event.message);
      }
    },
  };
}
