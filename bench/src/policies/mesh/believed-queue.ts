import type { Profile } from '../../profile-table.ts';

/** A request as a believed queue holds it. */
export interface BelievedRequest {
  readonly profile: Profile;
  /** When the worker has to be done with it. */
  readonly deadlineAt: number;
}

/** A request that is under way to a worker. */
export interface UnderWay extends BelievedRequest {
  readonly reachesMs: number;
}

/**
 * A worker's queue as it is predicted: whenever the worker is free it takes the request with the earliest deadline and what waits
 * for the same variant, as one batch, which takes its profile's mean.
 */
export class BelievedQueue {
  /** When what runs ends. */
  #freeMs = 0;
  readonly #waiting: BelievedRequest[] = [];

  /** Nothing waits, and what runs ends at `freeMs`. */
  reset(freeMs: number): void {
    this.#freeMs = freeMs;
    this.#waiting.length = 0;
  }

  /** Becomes as another one is. */
  copy(other: BelievedQueue): void {
    this.#freeMs = other.#freeMs;
    this.#waiting.length = 0;
    for (const request of other.#waiting) this.#waiting.push(request);
  }

  /** One more waits. */
  wait(request: BelievedRequest): void {
    this.#waiting.push(request);
  }

  /** One arrives, which is run at once by a worker with nothing else to do. Times must not fall. */
  arrive(request: BelievedRequest, atMs: number): void {
    this.runUntil(atMs);
    if (this.#waiting.length === 0 && this.#freeMs <= atMs) {
      this.#freeMs = atMs + request.profile.service(1).meanMs;
    } else this.#waiting.push(request);
  }

  /** Starts every batch that is due by then. */
  runUntil(timeMs: number): void {
    while (this.#waiting.length > 0 && this.#freeMs <= timeMs) this.#runNext();
  }

  /**
   * Until one more starts that is there at `nowMs`, the time of `runUntil`, and the inputs of its batch. Ahead of it is what runs,
   * and what has an earlier deadline, of `coming` as far as that is there before it starts.
   *
   * @param coming sorted by `reachesMs`, none before `nowMs`.
   */
  ahead(
    { profile: own, deadlineAt }: BelievedRequest,
    nowMs: number,
    coming: readonly UnderWay[] = [],
    comingFrom = 0,
  ): { readonly waitMs: number; readonly batch: number } {
    let startMs = Math.max(this.#freeMs, nowMs);
    let earlier = 0;
    let later = 0;
    COUNTS.clear();
    for (const { profile, deadlineAt: its } of this.#waiting) {
      const isEarlier = its <= deadlineAt;
      if (profile === own) {
        if (isEarlier) earlier += 1;
        else later += 1;
      } else if (isEarlier) startMs += addedMs(profile);
    }
    for (let index = comingFrom; index < coming.length; index += 1) {
      const { profile, deadlineAt: its, reachesMs } = coming[index] as UnderWay;
      if (reachesMs >= startMs) break;
      if (profile === own) {
        if (its <= deadlineAt) earlier += 1;
        else later += 1;
      } else if (its <= deadlineAt) startMs += addedMs(profile);
    }
    const { maxBatch } = own;
    const inBatch = earlier % maxBatch;
    startMs += batchesMs(own, earlier - inBatch);
    return { waitMs: startMs - nowMs, batch: Math.min(maxBatch, inBatch + 1 + later) };
  }

  /** Of what runs and what waits, in the largest batches. */
  backlogMs(nowMs: number): number {
    let sum = Math.max(0, this.#freeMs - nowMs);
    COUNTS.clear();
    for (const { profile } of this.#waiting) sum += addedMs(profile);
    return sum;
  }

  #runNext(): void {
    let head = this.#waiting[0] as BelievedRequest;
    for (const request of this.#waiting) if (request.deadlineAt < head.deadlineAt) head = request;
    const { profile } = head;
    let inputs = 1;
    let kept = 0;
    for (const request of this.#waiting) {
      if (request === head) continue;
      if (request.profile === profile && inputs < profile.maxBatch) inputs += 1;
      else {
        this.#waiting[kept] = request;
        kept += 1;
      }
    }
    this.#waiting.length = kept;
    this.#freeMs += profile.service(inputs).meanMs;
  }
}

/** Inputs by variant, while they are summed up. */
const COUNTS = new Map<Profile, number>();

/** What one more input of a variant adds to the time of its batches, of those that `COUNTS` has seen. */
function addedMs(profile: Profile): number {
  const before = COUNTS.get(profile) ?? 0;
  COUNTS.set(profile, before + 1);
  const inBatch = before % profile.maxBatch;
  return profile.service(inBatch + 1).meanMs - (inBatch === 0 ? 0 : profile.service(inBatch).meanMs);
}

/** Time of so many inputs in the largest batches; a multiple of their size. */
function batchesMs(profile: Profile, inputs: number): number {
  return inputs === 0 ? 0 : (inputs / profile.maxBatch) * profile.service(profile.maxBatch).meanMs;
}
