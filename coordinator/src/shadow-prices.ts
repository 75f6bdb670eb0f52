import { type ClassUse, type Clock, type PricedClass, PriceTracker } from '@nearfar/core';
import type { PriceTable } from '@nearfar/protocol';
import type { FleetWorker } from './fleet-worker.ts';

/** Prices follow what was measured over at least this long. */
const OBSERVE_EVERY_MS = 1_000;

/** One execution that has ended, as far as the scarcity of its class of workers rests on it. */
export interface Used {
  /** Its share of its batch's time. */
  readonly busyMs: number;
  /** What its deadline left for waiting when it was sent; below 0 = it was late already. */
  readonly slackMs: number;
}

interface Totals extends PricedClass {
  executions: number;
  busyMs: number;
  slackMs: number;
  /** Of all workers of the class, when it was observed before. */
  backlogMs: number;
}

/**
 * What a busy millisecond of each class of workers is worth beyond what it costs: the plan's dual, corrected about once a
 * second by how busy the class really is (`PriceTracker` in core). A class that nobody used keeps its price until somebody
 * asks for prices again: without requests there is nothing that it could decide.
 */
export class ShadowPrices {
  readonly #tracker = new PriceTracker();
  readonly #clock: Clock;
  readonly #workers: () => readonly FleetWorker[];
  readonly #totals = new Map<string, Totals>();
  #observedAt: number | undefined;

  constructor(clock: Clock, workers: () => readonly FleetWorker[]) {
    this.#clock = clock;
    this.#workers = workers;
  }

  /** What to decide by now; another object with a higher epoch after each change. */
  get table(): PriceTable {
    const now = this.#clock.now();
    this.#observedAt ??= now;
    if (now - this.#observedAt >= OBSERVE_EVERY_MS) this.#observe(now);
    return this.#tracker.table;
  }

  /** Takes over the duals of a new plan. */
  setPlan(prices: PriceTable['prices']): void {
    this.#tracker.setPlan(prices);
  }

  /** Notes an execution that has ended on a worker. */
  used({ hello }: FleetWorker, { busyMs, slackMs }: Used): void {
    const totals = this.#of(hello.tier, hello.device.deviceClass);
    totals.executions += 1;
    totals.busyMs += busyMs;
    totals.slackMs += Math.max(0, slackMs);
  }

  #observe(now: number): void {
    const elapsedMs = now - (this.#observedAt ?? now);
    this.#observedAt = now;
    const capacity = new Map<Totals, { slots: number; backlogMs: number }>();
    for (const { hello, load, state } of this.#workers()) {
      if (state !== 'active') continue;
      const totals = this.#of(hello.tier, hello.device.deviceClass);
      const sum = capacity.get(totals) ?? { slots: 0, backlogMs: 0 };
      sum.slots += hello.slots;
      sum.backlogMs += Math.max(0, load.freeAtMs - now) * hello.slots;
      capacity.set(totals, sum);
    }
    const uses: ClassUse[] = [];
    for (const [totals, { slots, backlogMs }] of capacity) {
      const { tier, deviceClass, executions } = totals;
      // What was asked of it is what it did, and what waits now but did not before.
      const askedMs = Math.max(0, totals.busyMs + backlogMs - totals.backlogMs);
      uses.push({
        tier,
        deviceClass,
        slots,
        utilisation: askedMs / (slots * elapsedMs),
        serviceMs: executions > 0 ? totals.busyMs / executions : 0,
        slackMs: executions > 0 ? totals.slackMs / executions : 0,
      });
      Object.assign(totals, { executions: 0, busyMs: 0, slackMs: 0, backlogMs });
    }
    // A class without workers has no price, and none is to wait for its next worker.
    for (const [name, totals] of this.#totals) if (!capacity.has(totals)) this.#totals.delete(name);
    this.#tracker.observe(uses, elapsedMs / 1_000);
  }

  #of(tier: PricedClass['tier'], deviceClass: string): Totals {
    const name = `${tier} ${deviceClass}`;
    let totals = this.#totals.get(name);
    if (totals === undefined) {
      totals = { tier, deviceClass, executions: 0, busyMs: 0, slackMs: 0, backlogMs: 0 };
      this.#totals.set(name, totals);
    }
    return totals;
  }
}
