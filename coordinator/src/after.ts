import type { Clock } from '@nearfar/core';

/** Nobody reads why a wait ended early; an error, which is the default reason, costs more than a decision. */
const OVER = 'over';

/**
 * Calls `act`, which must not throw, in `delayMs` milliseconds.
 *
 * @returns what keeps it from being called, where it has not been yet.
 */
export function after(clock: Pick<Clock, 'sleep'>, delayMs: number, act: () => void): () => void {
  const waiting = new AbortController();
  clock.sleep(delayMs, waiting.signal).then(act, () => undefined);
  return () => waiting.abort(OVER);
}
