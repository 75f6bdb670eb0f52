/** Inputs by which a batch that was in time may grow (Clipper, NSDI'17, section 4.3.1: by a fixed amount). */
const AIMD_INCREASE = 1;
/** Part of the batch size that stays after a batch was too slow (the same section: a back-off of 10 %). */
const AIMD_DECREASE = 0.9;

/**
 * The largest batch that a replica may run, found by additive increase and multiplicative decrease.
 *
 * Clipper (Crankshaw et al., NSDI'17, section 4.3.1): the size grows by a fixed amount until the time of a batch exceeds the
 * latency objective, then is cut by 10 %. Batches smaller than the limit say nothing about a larger one, so they do not
 * raise it. Kept as a real number, since 10 % of a small batch is less than one input; used rounded down, and at least 1.
 */
export class AimdBatchSize {
  readonly #most: number;
  #size = 1;

  /** `most`: what the hardware can run at once. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Whole inputs, from 1 to the most. */
  get size(): number {
    return Math.floor(this.#size);
  }

  /** Takes in that a batch of `batch` inputs took `serviceMs`. */
  observe(batch: number, serviceMs: number, objectiveMs: number): void {
    if (serviceMs > objectiveMs) this.#size = Math.max(1, this.#size * AIMD_DECREASE);
    else if (batch >= this.size) this.#size = Math.min(this.#most, this.#size + AIMD_INCREASE);
  }
}
