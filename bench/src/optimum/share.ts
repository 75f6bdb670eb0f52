import { LEAST_SCORE, MOST_SCORE, P90_SCORE, P99_SCORE, type Profile } from '../profile-table.ts';

/**
 * What a member adds at least to its batch of a given size, so that the parts of all members never exceed the batch's time.
 *
 * Proof. T(s), the time at score s, touches the line T(0) + βs at 0, β being its slope there. It is convex up to the 90 %
 * quantile, and where the next stretch is not flatter up to 3.5, so the line stays below it there; below −2.5 T stays while the
 * line falls; above 3.5 T stays and the line needs until S* = (T(3.5) − T(0)) / β to reach it. So T(s) ≥ T(0) + βs up to S*.
 * T never falls, so a batch with scores z takes at least what it would with z' = min(z, S* / √b), whose sum over √b is at most
 * S*: T ≥ T(0) + β Σz' / √b = Σ (T(0) / b + βz' / √b), one part for each member. ∎
 */
export class BatchShares {
  readonly #perMember: number;
  readonly #slope: number;
  readonly #mostScore: number;
  /** No batch of this size is faster. */
  readonly leastMs: number;

  constructor(profile: Profile, batch: number) {
    const { p50Ms, p90Ms, p99Ms } = profile.service(batch);
    const slope = (p50Ms * Math.log(p90Ms / p50Ms)) / P90_SCORE;
    const isSteeper =
      Math.log(p99Ms / p90Ms) / (P99_SCORE - P90_SCORE) >= Math.log(p90Ms / p50Ms) / P90_SCORE;
    const top = isSteeper ? (profile.timeMs(batch, MOST_SCORE) - p50Ms) / slope : P90_SCORE;
    const most = slope > 0 ? top : 0;
    this.#perMember = p50Ms / batch;
    this.#slope = slope / Math.sqrt(batch);
    this.#mostScore = most / Math.sqrt(batch);
    this.leastMs = profile.timeMs(batch, LEAST_SCORE);
  }

  /** Milliseconds; below 0 only for a member that speeds a large noisy batch up by more than its part. */
  ofMember(score: number): number {
    return this.#perMember + this.#slope * Math.min(score, this.#mostScore);
  }
}
