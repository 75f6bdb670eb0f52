/** Allows `ratePerSecond` on average and up to `burst` at once. */
export interface BucketRule {
  readonly ratePerSecond: number;
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  filledAt: number;
}

/** Callers that are remembered; the one that was seen longest ago gives way, and begins anew with a full bucket. */
const MAX_CALLERS = 10_000;

/** A token bucket for each caller: what it may do per second, evened out over time. Times in milliseconds. */
export class TokenBuckets {
  readonly #rule: BucketRule;
  readonly #buckets = new Map<string, Bucket>();

  constructor(rule: BucketRule) {
    if (!(rule.ratePerSecond > 0) || !(rule.burst >= 1)) {
      throw new RangeError(
        `Expected a rate above 0 and a burst from 1, got ${rule.ratePerSecond} and ${rule.burst}`,
      );
    }
    this.#rule = rule;
  }

  /** Takes one token; 0 when there was one, else the milliseconds until there is. */
  take(caller: string, now: number): number {
    const { ratePerSecond, burst } = this.#rule;
    const bucket = this.#buckets.get(caller) ?? { tokens: burst, filledAt: now };
    const gained = (Math.max(0, now - bucket.filledAt) * ratePerSecond) / 1_000;
    bucket.tokens = Math.min(burst, bucket.tokens + gained);
    bucket.filledAt = now;
    // Set anew, so that the map stays in the order of use.
    this.#buckets.delete(caller);
    this.#buckets.set(caller, bucket);
    if (this.#buckets.size > MAX_CALLERS) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    if (bucket.tokens < 1) return ((1 - bucket.tokens) * 1_000) / ratePerSecond;
    bucket.tokens -= 1;
    return 0;
  }
}
