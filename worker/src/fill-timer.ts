import type { Clock } from '@nearfar/core';

/** Wakes an idle slot that waits for others to fill its batch. There is a timer only while it waits. */
export class FillTimer {
  readonly #clock: Clock;
  readonly #wake: () => void;
  #waiting: { readonly since: number; readonly until: number; readonly timer: AbortController } | undefined;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Since when a slot waits; undefined when none does. */
  get since(): number | undefined {
    return this.#waiting?.since;
  }

  /** Until when it waits at most; undefined when none does. */
  get until(): number | undefined {
    return this.#waiting?.until;
  }

  /** Waits until then instead of until what was said before; the wait goes on. */
  waitUntil(until: number): void {
    if (this.#waiting?.until === until) return;
    const now = this.#clock.now();
    const since = this.#waiting?.since ?? now;
    this.stop();
    const timer = new AbortController();
    this.#waiting = { since, until, timer };
    this.#clock.sleep(Math.max(0, until - now), timer.signal).then(
      () => {
        // Timers may be a fraction of a millisecond early: then the same wait is asked for again.
        this.#waiting = { since, until: Number.NEGATIVE_INFINITY, timer };
        this.#wake();
      },
      () => undefined, // The batch was full before, or nobody waits any more.
    );
  }

  /** Ends the wait, if there is one. */
  stop(): void {
    this.#waiting?.timer.abort();
    this.#waiting = undefined;
  }
}
