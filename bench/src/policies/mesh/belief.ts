import { FRESH_FOR_MS } from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';
import type { Profile } from '../../profile-table.ts';
import type { SimulatedWorker } from '../../simulator/policy.ts';

/** Requests for one variant that wait on a worker, as far as is known. */
interface Group {
  readonly profile: Profile;
  waiting: number;
}

/** What a request for a variant would meet on a worker. */
export interface Expected {
  /** Until its batch starts. */
  readonly wait: Moments;
  /** Inputs of the batch that it would join, itself included. */
  readonly batch: number;
}

/** Beyond this many times its fresh length, age makes a prediction no vaguer (as in core's `LoadView`). */
const MOST_STALENESS = 10;

/**
 * What the mesh believes of one worker: its last load report and what was sent since and has not been part of one. As in the
 * live mesh, a report comes with every answer and every so often; between them the backlog drains as time passes.
 */
export class WorkerBelief {
  readonly worker: SimulatedWorker;
  readonly #profileOf: (task: string, variant: string, deviceClass: string) => Profile | undefined;
  #groups: Group[] = [];
  #unseen: { readonly profile: Profile; readonly reachesMs: number }[] = [];
  #freeMs = 0;
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
    this.#freeMs = Math.max(nowMs, predictedFreeMs);
    for (const group of this.#groups) group.waiting = 0;
    for (let position = 0; position < queue.length; position += 1) {
      const task = queue[position]?.task ?? '';
      const profile = this.#profileOf(task, this.worker.variantAt(position), deviceClass);
      if (profile !== undefined) this.#group(profile).waiting += 1;
    }
    this.#unseen = this.#unseen.filter(({ reachesMs }) => reachesMs > nowMs);
    for (const { profile } of this.#unseen) this.#group(profile).waiting += 1;
  }

  /** A request was sent at `nowMs` that will be there at `reachesMs`. */
  sent(profile: Profile, nowMs: number, reachesMs: number): void {
    const aheadMs = this.#groups.reduce((sum, group) => sum + batchesMs(group.profile, group.waiting), 0);
    if (this.#freeMs + aheadMs <= nowMs) {
      // By now all that was known of is done.
      for (const group of this.#groups) group.waiting = 0;
      this.#freeMs = nowMs;
    }
    this.#unseen.push({ profile, reachesMs });
    this.#group(profile).waiting += 1;
  }

  /**
   * What a request for the variant would meet: it joins those of its variant that wait, and all other variants' batches go
   * first. The spread grows with the wait and with the age of the report.
   */
  expected(profile: Profile, nowMs: number): Expected {
    const { maxBatch } = profile;
    let aheadMs = 0;
    let same = 0;
    for (const group of this.#groups) {
      if (group.profile !== profile) aheadMs += batchesMs(group.profile, group.waiting);
      else same = group.waiting;
    }
    const inBatch = same % maxBatch;
    aheadMs += batchesMs(profile, same - inBatch);
    const meanMs = Math.max(0, this.#freeMs + aheadMs - nowMs);
    const staleness = Math.min(MOST_STALENESS, (nowMs - this.#reportedMs) / FRESH_FOR_MS);
    const deviation = 0.5 * meanMs * (1 + Math.max(0, staleness - 1));
    return { wait: { meanMs, varianceMs2: deviation * deviation }, batch: inBatch + 1 };
  }

  #group(profile: Profile): Group {
    let group = this.#groups.find((entry) => entry.profile === profile);
    if (group === undefined) {
      group = { profile, waiting: 0 };
      this.#groups.push(group);
    }
    return group;
  }
}

/** Time of so many inputs in the largest batches. */
function batchesMs(profile: Profile, inputs: number): number {
  if (inputs === 0) return 0;
  const { maxBatch } = profile;
  const rest = inputs % maxBatch;
  const full = (inputs - rest) / maxBatch;
  return (
    (full === 0 ? 0 : full * profile.service(maxBatch).meanMs) +
    (rest === 0 ? 0 : profile.service(rest).meanMs)
  );
}
