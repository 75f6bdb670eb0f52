import type { Profile } from '../../profile-table.ts';

/**
 * A worker's queue as it is predicted: whenever the worker is free it runs what waits for a variant as one batch, which takes its
 * profile's mean.
 */
export class BelievedQueue {
  /** When what runs ends. */
  #freeMs = 0;
  /** Variants, with how many wait for each; those that were there before stay, with none. */
  readonly #profiles: Profile[] = [];
  readonly #waiting: number[] = [];
  #total = 0;

  /** Nothing waits, and what runs ends at `freeMs`. */
  reset(freeMs: number): void {
    this.#freeMs = freeMs;
    this.#waiting.fill(0);
    this.#total = 0;
  }

  /** Becomes as another one is. */
  copy(other: BelievedQueue): void {
    this.#freeMs = other.#freeMs;
    this.#total = other.#total;
    this.#profiles.length = 0;
    this.#waiting.length = 0;
    for (let index = 0; index < other.#profiles.length; index += 1) {
      this.#profiles.push(other.#profiles[index] as Profile);
      this.#waiting.push(other.#waiting[index] as number);
    }
  }

  /** One more for a variant waits. */
  wait(profile: Profile): void {
    let index = this.#profiles.indexOf(profile);
    if (index < 0) {
      index = this.#profiles.length;
      this.#profiles.push(profile);
      this.#waiting.push(0);
    }
    this.#waiting[index] = (this.#waiting[index] as number) + 1;
    this.#total += 1;
  }

  /** One for a variant arrives, which is run at once by a worker with nothing else to do. Times must not fall. */
  arrive(profile: Profile, atMs: number): void {
    this.runUntil(atMs);
    if (this.#total === 0 && this.#freeMs <= atMs) this.#freeMs = atMs + profile.service(1).meanMs;
    else this.wait(profile);
  }

  /** Starts every batch that is due by then. */
  runUntil(timeMs: number): void {
    while (this.#total > 0 && this.#freeMs <= timeMs) {
      const index = this.#waiting.findIndex((inputs) => inputs > 0);
      const profile = this.#profiles[index] as Profile;
      const inputs = Math.min(this.#waiting[index] as number, profile.maxBatch);
      this.#waiting[index] = (this.#waiting[index] as number) - inputs;
      this.#total -= inputs;
      this.#freeMs += profile.service(inputs).meanMs;
    }
  }

  /** The wait of one more for a variant, and the batch that it joins, at the time of `runUntil`. */
  ahead(own: Profile, nowMs: number): { readonly waitMs: number; readonly batch: number } {
    let aheadMs = Math.max(0, this.#freeMs - nowMs);
    let inBatch = 0;
    for (let index = 0; index < this.#profiles.length; index += 1) {
      const profile = this.#profiles[index] as Profile;
      const inputs = this.#waiting[index] as number;
      if (profile === own) inBatch = inputs % own.maxBatch;
      aheadMs += batchesMs(profile, profile === own ? inputs - inBatch : inputs);
    }
    return { waitMs: aheadMs, batch: inBatch + 1 };
  }

  /** Of what runs and what waits. */
  backlogMs(nowMs: number): number {
    let sum = Math.max(0, this.#freeMs - nowMs);
    for (let index = 0; index < this.#profiles.length; index += 1) {
      sum += batchesMs(this.#profiles[index] as Profile, this.#waiting[index] as number);
    }
    return sum;
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
