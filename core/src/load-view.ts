import type { Load, Moments } from '@nearfar/protocol';

/** A load report older than this says little; the wait it predicts is widened in proportion to its age. */
export const FRESH_FOR_MS = 1_500;

/** Age makes a prediction vaguer up to this many times `FRESH_FOR_MS`. */
export const MOST_STALENESS = 10;

/** The spread of a wait that was just reported, as a share of its mean: queues are about as variable as they are long. */
export const WAIT_DEVIATION = 0.5;

interface Dispatched {
  readonly sequence: number;
  readonly serviceMs: number;
  readonly priority: number;
}

/**
 * What the coordinator believes about one worker's queue: its last load report, plus what was dispatched since.
 *
 * The worker is the authority: each report says up to which `sequence` it counts, so work is never counted twice nor
 * forgotten, however late the report arrives. Between reports everything drains as time passes, so that all of it comes
 * down to one absolute time at which the worker will be free.
 */
export class LoadView {
  readonly #slots: number;
  #load: Load | undefined;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #freeAt = Number.NEGATIVE_INFINITY;
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

  /** When it will have done all that is known of; in the past when it is idle. */
  get freeAtMs(): number {
    return this.#freeAt;
  }

  /** When the newest report arrived; minus infinity before the first. */
  get reportedAtMs(): number {
    return this.#reportedAt;
  }

  /** Milliseconds since the newest report; infinite before the first. */
  ageMs(now: number): number {
    return Math.max(0, now - this.#reportedAt);
  }

  /**
   * Notes that a request predicted to take `serviceMs` went to the worker at `now`; it is spread over the slots.
   *
   * @param priority as in `RequestSpec`; 0 = none, after all that have one.
   */
  dispatched(sequence: number, serviceMs: number, now: number, priority = 0): void {
    this.#unseen.push({ sequence, serviceMs, priority });
    this.#freeAt = Math.max(this.#freeAt, now) + serviceMs / this.#slots;
  }

  /** Takes in a load report that arrived at `now`. An older one than the newest known is ignored. */
  reported(load: Load, now: number): void {
    if (this.#load !== undefined && load.lastSequence < this.#load.lastSequence) return;
    this.#load = load;
    this.#reportedAt = now;
    this.#unseen = this.#unseen.filter((entry) => entry.sequence > load.lastSequence);
    const unseenMs = this.#unseen.reduce((sum, entry) => sum + entry.serviceMs, 0) / this.#slots;
    this.#freeAt = now + load.backlogMs + unseenMs;
  }

  /** Requests that the worker holds or that are on their way to it. */
  get outstanding(): number {
    return (this.#load?.waiting ?? 0) + (this.#load?.running ?? 0) + this.#unseen.length;
  }

  /** How long a request sent now would wait for its batch to start; one with a priority is not behind what is less urgent. */
  wait(now: number, priority = 0): Moments {
    const waitMs = Math.max(0, this.#freeAt - now);
    const isBehindAll = priority === 0 || this.#load?.runningMs === undefined;
    return waitMoments(
      isBehindAll ? waitMs : Math.min(waitMs, this.#urgentMs(now, priority)),
      this.ageMs(now),
    );
  }

  #urgentMs(now: number, priority: number): number {
    const { runningMs = 0, ahead = [] } = this.#load ?? {};
    const reportedMs = ahead.findLast((entry) => entry.priority <= priority)?.backlogMs ?? runningMs;
    const unseenMs = this.#unseen.reduce(
      (sum, entry) => sum + (entry.priority > 0 && entry.priority <= priority ? entry.serviceMs : 0),
      0,
    );
    return Math.max(0, reportedMs + unseenMs / this.#slots - this.ageMs(now));
  }
}

/** A wait as a distribution: its spread grows with its length and with the age of the report that it rests on. */
export function waitMoments(waitMs: number, ageMs: number): Moments {
  const deviation = WAIT_DEVIATION * waitMs * staleness(ageMs);
  return { meanMs: waitMs, varianceMs2: deviation * deviation };
}

/** By how much age widens a wait, from 1. */
export function staleness(ageMs: number): number {
  return Math.max(1, Math.min(MOST_STALENESS, ageMs / FRESH_FOR_MS));
}
