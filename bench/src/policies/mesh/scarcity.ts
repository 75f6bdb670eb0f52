import { ClassUses, PriceTracker, type Used } from '@nearfar/core';
import type { PriceTable } from '@nearfar/protocol';
import type { WorkerBelief } from './belief.ts';

/**
 * Prices of scarce capacity, from what the mesh sees of its classes each second: as the coordinator does, without the duals
 * of a plan.
 */
export class Scarcity {
  readonly #tracker = new PriceTracker();
  readonly #uses = new ClassUses();
  #observedMs = 0;

  /** What to decide by; another object after each change. */
  get prices(): PriceTable {
    return this.#tracker.table;
  }

  /** Notes an execution that has ended on a worker. */
  used({ worker }: WorkerBelief, use: Used): void {
    this.#uses.used(worker, use);
  }

  /** Takes in how the workers are, each of which runs one batch at a time. */
  observe(beliefs: Iterable<WorkerBelief>, nowMs: number): void {
    const elapsedMs = nowMs - this.#observedMs;
    this.#observedMs = nowMs;
    const workers = [...beliefs].filter(({ worker }) => !worker.isDraining);
    const observed = workers.map((belief) => {
      const { tier, deviceClass } = belief.worker;
      return { tier, deviceClass, slots: 1, backlogMs: belief.backlogMs(nowMs) };
    });
    this.#tracker.observe(this.#uses.take(observed, elapsedMs), elapsedMs / 1_000);
  }
}
