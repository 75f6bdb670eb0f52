import { type ClassUse, type PricedClass, PriceTracker } from '@nearfar/core';
import type { PriceTable } from '@nearfar/protocol';
import type { WorkerBelief } from './belief.ts';

/** One execution that has ended, as far as the scarcity of its class rests on it. */
export interface Used {
  /** Its share of its batch's time. */
  readonly busyMs: number;
  /** What its deadline left for waiting when it was sent. */
  readonly slackMs: number;
}

interface Totals extends PricedClass {
  executions: number;
  busyMs: number;
  slackMs: number;
  workers: number;
  backlogMs: number;
  /** When it was observed before. */
  oldBacklogMs: number;
}

/**
 * Prices of scarce capacity, from what the mesh sees of its classes each second: as the coordinator does, without the duals
 * of a plan.
 */
export class Scarcity {
  readonly #tracker = new PriceTracker();
  readonly #totals = new Map<string, Totals>();
  #observedMs = 0;

  /** What to decide by; another object after each change. */
  get prices(): PriceTable {
    return this.#tracker.table;
  }

  /** Notes an execution that has ended on a worker. */
  used({ worker: { tier, deviceClass } }: WorkerBelief, { busyMs, slackMs }: Used): void {
    const totals = this.#of(tier, deviceClass);
    totals.executions += 1;
    totals.busyMs += busyMs;
    totals.slackMs += Math.max(0, slackMs);
  }

  /** Takes in how the workers are, each of which runs one batch at a time. */
  observe(beliefs: Iterable<WorkerBelief>, nowMs: number): void {
    const elapsedMs = nowMs - this.#observedMs;
    this.#observedMs = nowMs;
    for (const belief of beliefs) {
      const { tier, deviceClass, isDraining } = belief.worker;
      if (isDraining) continue;
      const totals = this.#of(tier, deviceClass);
      totals.workers += 1;
      totals.backlogMs += belief.backlogMs(nowMs);
    }
    const uses: ClassUse[] = [];
    for (const [name, totals] of this.#totals) {
      const { tier, deviceClass, executions, busyMs, slackMs, workers, backlogMs, oldBacklogMs } = totals;
      if (workers === 0) {
        this.#totals.delete(name);
        continue;
      }
      // What was asked of it is what it did, and what waits now but did not before.
      const askedMs = Math.max(0, busyMs + backlogMs - oldBacklogMs);
      uses.push({
        tier,
        deviceClass,
        slots: workers,
        utilisation: askedMs / (workers * elapsedMs),
        serviceMs: executions > 0 ? busyMs / executions : 0,
        slackMs: executions > 0 ? slackMs / executions : 0,
      });
      this.#totals.set(name, { ...emptyTotals({ tier, deviceClass }), oldBacklogMs: backlogMs });
    }
    this.#tracker.observe(uses, elapsedMs / 1_000);
  }

  #of(tier: PricedClass['tier'], deviceClass: string): Totals {
    const name = `${tier} ${deviceClass}`;
    let totals = this.#totals.get(name);
    if (totals === undefined) {
      totals = emptyTotals({ tier, deviceClass });
      this.#totals.set(name, totals);
    }
    return totals;
  }
}

function emptyTotals(pricedClass: PricedClass): Totals {
  return { ...pricedClass, executions: 0, busyMs: 0, slackMs: 0, workers: 0, backlogMs: 0, oldBacklogMs: 0 };
}
