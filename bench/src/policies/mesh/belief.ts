import { FRESH_FOR_MS } from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';
import type { Profile } from '../../profile-table.ts';
import type { SimulatedWorker } from '../../simulator/policy.ts';
import { BelievedQueue } from './believed-queue.ts';

/** What a request for a variant would meet on a worker. */
export interface Expected {
  /** From when it is there until its batch starts. */
  readonly wait: Moments;
  /** Inputs of the batch that it would join, itself included. */
  readonly batch: number;
}

/** What is looked ahead in, one question at a time. */
const SCRATCH = new BelievedQueue();
/** Beyond this many times its fresh length, age makes a prediction no vaguer (as in core's `LoadView`). */
const MOST_STALENESS = 10;

/**
 * What the mesh believes of one worker: its last load report, and what was sent since and has not been part of one. As in the
 * live mesh, a report comes with every answer and every so often; between them the worker is taken to go on as its profiles
 * say: whenever it is free it runs what waits for a variant as one batch.
 */
export class WorkerBelief {
  readonly worker: SimulatedWorker;
  readonly #profileOf: (task: string, variant: string, deviceClass: string) => Profile | undefined;
  readonly #queue = new BelievedQueue();
  /** What is under way to it, by the time at which it will be there. */
  readonly #underWay: { readonly profile: Profile; readonly reachesMs: number }[] = [];
  #reportedMs = 0;

  constructor(
    worker: SimulatedWorker,
    profileOf: (task: string, variant: string, deviceClass: string) => Profile | undefined,
  ) {
    this.worker = worker;
    this.#profileOf = profileOf;
  }

  /** Takes in how the worker is at `nowMs`. */
  report(nowMs: number): void {
    const { queue, deviceClass, predictedFreeMs } = this.worker;
    this.#reportedMs = nowMs;
    this.#forgetReached(nowMs);
    this.#queue.reset(Math.max(nowMs, predictedFreeMs));
    for (let position = 0; position < queue.length; position += 1) {
      const task = queue[position]?.task ?? '';
      const profile = this.#profileOf(task, this.worker.variantAt(position), deviceClass);
      if (profile !== undefined) this.#queue.wait(profile);
    }
  }

  /** Milliseconds of what it runs and of what waits there, in the largest batches. */
  backlogMs(nowMs: number): number {
    this.#goOn(nowMs);
    return this.#queue.backlogMs(nowMs);
  }

  /** A request was sent that will be there at `reachesMs`. */
  sent(profile: Profile, reachesMs: number): void {
    let position = this.#underWay.length;
    while (position > 0 && (this.#underWay[position - 1]?.reachesMs ?? 0) > reachesMs) position -= 1;
    this.#underWay.splice(position, 0, { profile, reachesMs });
  }

  /**
   * What a request for the variant would meet that is there at `reachesMs`: it joins those of its variant that wait then, and
   * all other variants' batches go first. The spread grows with the wait and with the age of the report.
   */
  expected(profile: Profile, nowMs: number, reachesMs: number): Expected {
    this.#goOn(nowMs);
    const then = SCRATCH;
    then.copy(this.#queue);
    for (const sent of this.#underWay) {
      if (sent.reachesMs > reachesMs) break;
      then.arrive(sent.profile, sent.reachesMs);
    }
    then.runUntil(reachesMs);
    const { waitMs, batch } = then.ahead(profile, reachesMs);
    const staleness = Math.min(MOST_STALENESS, (nowMs - this.#reportedMs) / FRESH_FOR_MS);
    const deviation = 0.5 * waitMs * (1 + Math.max(0, staleness - 1));
    const S = (globalThis as any).SQ?.get(this.worker.deviceClass) ?? 0;
    return { wait: { meanMs: waitMs, varianceMs2: deviation * deviation + S }, batch };
  }

  /** Lets the queue go on until now, with what has reached it since. */
  #goOn(nowMs: number): void {
    let reached = 0;
    for (const { profile, reachesMs } of this.#underWay) {
      if (reachesMs > nowMs) break;
      this.#queue.arrive(profile, reachesMs);
      reached += 1;
    }
    if (reached > 0) this.#underWay.splice(0, reached);
    this.#queue.runUntil(nowMs);
  }

  #forgetReached(nowMs: number): void {
    let reached = 0;
    while ((this.#underWay[reached]?.reachesMs ?? Number.POSITIVE_INFINITY) <= nowMs) reached += 1;
    this.#underWay.splice(0, reached);
  }
}
