/**
 * How far one more observation moves a shift at least. It sets how fast slow drift is followed (about 150 observations)
 * and how much the shift trembles in steady state (variance 1/300 of an observation's).
 */
const LEAST_GAIN = 1 / 150;

/** Residuals beyond this many spreads move a shift no further (Huber 1964): one outlier is no trend. */
const CLIP = 3;

/** Residuals beyond this many spreads do not count in full even where a change is sure. */
const JUMP_CLIP = 8;

/*
 * A change is found by a two-sided CUSUM (Page 1954): deviations above the allowance add up, and a sum above the
 * threshold is a change. For independent normal residuals a false alarm comes about every 40,000 observations (Siegmund
 * 1985, eq. 2.52), a shift by two spreads is found after six, one by three or more after four.
 */
const ALLOWANCE = 0.6;
const THRESHOLD = 8;

/** A factor on latencies, as what is added to their logarithm. */
export interface Shift {
  readonly shift: number;
  /** How many observations it rests on. */
  readonly weight: number;
}

/**
 * Follows by how much the logarithm of a latency lies above its prediction: a factor on the latency.
 *
 * In steady state it is a slow mean. When the residuals show that the factor has changed, it jumps to what they have been
 * since, and follows quickly at first: each observation then weighs as much as every one before it.
 */
export class ShiftTracker implements Shift {
  readonly #prior: number;
  readonly #leak: number;
  #shift = 0;
  #weight: number;
  /** Sums of the CUSUM, and the residuals (and how many of them) since each was last zero. */
  #above = 0;
  #aboveSum = 0;
  #aboveCount = 0;
  #below = 0;
  #belowSum = 0;
  #belowCount = 0;

  /**
   * @param prior how many observations the prediction itself counts for.
   * @param leak share of the shift that each step takes back: holds a shift on top of another one near zero, since only
   *   their sum is observed.
   */
  constructor(prior: number, leak = 0) {
    this.#prior = prior;
    this.#weight = prior;
    this.#leak = leak;
  }

  /** Added to the logarithm of a latency. */
  get shift(): number {
    return this.#shift;
  }

  /** How many observations it rests on. */
  get weight(): number {
    return this.#weight;
  }

  /** Starts from what was known before. */
  seed(shift: number, weight: number): void {
    this.#shift = shift;
    this.#weight = Math.max(this.#prior, weight);
  }

  /**
   * Takes in how far an observation lies from what was predicted with this shift.
   *
   * @param residual in units of `spread`.
   * @param spread of the logarithm of the latency.
   */
  add(residual: number, spread: number): void {
    const clipped = Math.max(-CLIP, Math.min(CLIP, residual));
    const jump = this.#detect(clipped, Math.max(-JUMP_CLIP, Math.min(JUMP_CLIP, residual)) * spread);
    if (jump !== undefined) {
      this.#shift += jump;
      return;
    }
    const gain = Math.max(LEAST_GAIN, 1 / (this.#weight + 1));
    this.#weight = Math.min(1 / LEAST_GAIN, this.#weight + 1);
    this.#shift += gain * (clipped * spread - this.#leak * this.#shift);
  }

  /** Draws the shift back to none by a share of it, 0 to 1. */
  fade(share: number): void {
    this.#shift *= 1 - share;
  }

  /** By how much the shift has to jump; undefined when nothing has changed. */
  #detect(clipped: number, step: number): number | undefined {
    this.#above += clipped - ALLOWANCE;
    this.#aboveSum += step;
    this.#aboveCount += 1;
    if (this.#above <= 0) this.#above = this.#aboveSum = this.#aboveCount = 0;
    this.#below += -clipped - ALLOWANCE;
    this.#belowSum += step;
    this.#belowCount += 1;
    if (this.#below <= 0) this.#below = this.#belowSum = this.#belowCount = 0;
    const isAbove = this.#above > THRESHOLD;
    if (!isAbove && this.#below <= THRESHOLD) return undefined;
    const count = isAbove ? this.#aboveCount : this.#belowCount;
    const jump = (isAbove ? this.#aboveSum : this.#belowSum) / count;
    this.#weight = count;
    this.#above = this.#aboveSum = this.#aboveCount = 0;
    this.#below = this.#belowSum = this.#belowCount = 0;
    return jump;
  }
}
