import type { Load, Moments } from '@nearfar/protocol';

/** A load report older than this says little; the wait it predicts is widened in proportion to its age. */
export const FRESH_FOR_MS = 1_500;

interface Dispatched {
  readonly sequence: number;
  readonly serviceMs: number;
}

/**
 * What the coordinator believes about one worker's queue: its last load report, plus what was dispatched since.
 *
 * The worker is the authority: each report says up to which `sequence` it counts, so work is never counted twice nor
 * forgotten, however late the report arrives.
 */
export class LoadView {
  readonly #slots: number;
  #load: Load | undefined;
  #reportedAt = 0;
  #unseen: Dispatched[] = [];

  constructor(slots: number) {
    if (!Number.isInteger(slots) || slots < 1)
      throw new RangeError(`Expected slots to be an integer from 1, got ${slots}`);
    this.#slots = slots;
  }

  /** The newest load that the worker reported, if any. */
  get load(): Load | undefined {
    return this.#load;
  }

  /** Milliseconds since the newest report; infinite before the first. */
  ageMs(now: number): number {
    return this.#load === undefined ? Number.POSITIVE_INFINITY : Math.max(0, now - this.#reportedAt);
  }

  /** Notes that a request predicted to take `serviceMs` went to the worker. */
  dispatched(sequence: number, serviceMs: number): void {
    this.#unseen.push({ sequence, serviceMs });
  }

  /** Takes in a load report that arrived at `now`. An older one than the newest known is ignored. */
  reported(load: Load, now: number): void {
    if (this.#load !== undefined && load.lastSequence < this.#load.lastSequence) return;
    this.#load = load;
    this.#reportedAt = now;
    this.#unseen = this.#unseen.filter((entry) => entry.sequence > load.lastSequence);
  }

  /** Requests that the worker holds or that are on their way to it. */
  get outstanding(): number {
    return (this.#load?.waiting ?? 0) + (this.#load?.running ?? 0) + this.#unseen.length;
  }

  /**
   * How long a request sent now would wait for its batch to start.
   *
   * The reported backlog drains as time passes; what was dispatched since is added at its predicted service time,
   * spread over the worker's slots. The spread grows with the backlog (queues are about as variable as they are
   * long) and with the age of the report.
   */
  wait(now: number): Moments {
    const reported =
      this.#load === undefined ? 0 : Math.max(0, this.#load.backlogMs - (now - this.#reportedAt));
    const unseen = this.#unseen.reduce((sum, entry) => sum + entry.serviceMs, 0) / this.#slots;
    const meanMs = reported + unseen;
    const staleness = Math.min(10, this.ageMs(now) / FRESH_FOR_MS);
    const deviation = 0.5 * meanMs * (1 + Math.max(0, staleness - 1));
    return { meanMs, varianceMs2: deviation * deviation };
  }
}
