import { ClassUses, type Clock, PriceTracker, type Used } from '@nearfar/core';
import type { PriceTable } from '@nearfar/protocol';
import type { FleetWorker } from './fleet-worker.ts';

/** Prices follow what was measured over at least this long. */
const OBSERVE_EVERY_MS = 1_000;

/**
 * What a busy millisecond of each class of workers is worth beyond what it costs: the plan's dual, corrected about once a
 * second by how busy the class really is (`PriceTracker` in core). A class that nobody used keeps its price until somebody
 * asks for prices again: without requests there is nothing that it could decide.
 */
export class ShadowPrices {
  readonly #tracker = new PriceTracker();
  readonly #uses = new ClassUses();
  readonly #clock: Clock;
  readonly #workers: () => readonly FleetWorker[];
  #observedAt: number | undefined;

  constructor(clock: Clock, workers: () => readonly FleetWorker[]) {
    this.#clock = clock;
    this.#workers = workers;
  }

  /** What to decide by now; another object with a higher epoch after each change. */
  get table(): PriceTable {
    const now = this.#clock.now();
    this.#observedAt ??= now;
    if (now - this.#observedAt >= OBSERVE_EVERY_MS) this.#observe(now, now - this.#observedAt);
    return this.#tracker.table;
  }

  /** Takes over the duals of a new plan. */
  setPlan(prices: PriceTable['prices']): void {
    this.#tracker.setPlan(prices);
  }

  /** Notes an execution that has ended on a worker. */
  used({ hello: { tier, device } }: FleetWorker, use: Used): void {
    this.#uses.used({ tier, deviceClass: device.deviceClass }, use);
  }

  #observe(now: number, elapsedMs: number): void {
    this.#observedAt = now;
    const workers = this.#workers().filter(({ state }) => state === 'active');
    const observed = workers.map(({ hello: { tier, device, slots }, load }) => {
      return { tier, deviceClass: device.deviceClass, slots, backlogMs: Math.max(0, load.freeAtMs - now) };
    });
    this.#tracker.observe(this.#uses.take(observed, elapsedMs), elapsedMs / 1_000);
  }
}
