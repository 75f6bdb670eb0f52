import type { Clock } from '@nearfar/core';

/**
 * A clock's `sleep` on a runtime's own timers. Most sleeps are aborted, two with each request: this does that without an error
 * of its own.
 *
 * @param start starts a timer, and returns what stops it.
 */
export function sleepBy(start: (wake: () => void, delayMs: number) => () => void): Clock['sleep'] {
  return (delayMs, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        stop();
        reject(signal?.reason);
      };
      const stop = start(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, delayMs);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
}
