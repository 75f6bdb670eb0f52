import type { Clock } from '@nearfar/core';

interface Sleeper {
  readonly wakesAt: number;
  readonly wake: () => void;
}

/** A clock that moves only when a test says so. */
export class ManualClock implements Clock {
  #now = 0;
  #sleepers = new Set<Sleeper>();

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return this.#now;
  }

  /** Sleeps that have neither ended nor been aborted. */
  get pending(): number {
    return this.#sleepers.size;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const sleeper: Sleeper = { wakesAt: this.#now + delayMs, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener(
        'abort',
        () => {
          this.#sleepers.delete(sleeper);
          reject(signal.reason);
        },
        { once: true },
      );
    });
  }

  /** Moves time on, wakes who is due, and lets what that sets off run. */
  async advance(byMs: number): Promise<void> {
    this.#now += byMs;
    for (const sleeper of [...this.#sleepers]) {
      if (sleeper.wakesAt > this.#now) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
    await settled();
  }
}

/** Resolves when everything that needs no time has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
