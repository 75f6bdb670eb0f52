import type { Moments, SketchData } from '@nearfar/protocol';

/** Relative error of every quantile that a sketch gives. */
export const RELATIVE_ACCURACY = 0.01;

const GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY);
const LOG_GAMMA = Math.log(GAMMA);
/** Values below this (in milliseconds) count as this: a nanosecond is less than any clock of ours resolves. */
const SMALLEST_MS = 1e-6;
/** Values above this (in milliseconds) count as this: a day. */
const LARGEST_MS = 86_400_000;

/**
 * A mergeable latency sketch: a histogram with logarithmic buckets and whole counts (the mapping of DDSketch,
 * Masson et al., VLDB 2019). Merging adds counts, so it commutes and is associative; each quantile is within
 * `RELATIVE_ACCURACY` of the true one.
 */
export class Sketch {
  readonly #buckets = new Map<number, number>();
  #count = 0;
  #sum = 0;
  #sumOfSquares = 0;

  /** Rebuilds a sketch from its data; the inverse of `toData`. */
  static fromData(data: SketchData): Sketch {
    const sketch = new Sketch();
    sketch.#join(data.buckets, data.sum, data.sumOfSquares);
    return sketch;
  }

  /** Number of values added. */
  get count(): number {
    return this.#count;
  }

  /** Adds one value in milliseconds. Negative and non-finite values are programmer mistakes. */
  add(valueMs: number): void {
    if (!Number.isFinite(valueMs) || valueMs < 0)
      throw new RangeError(`Expected valueMs to be a number from 0, got ${valueMs}`);
    const clamped = Math.min(LARGEST_MS, Math.max(SMALLEST_MS, valueMs));
    const index = Math.ceil(Math.log(clamped) / LOG_GAMMA);
    this.#buckets.set(index, (this.#buckets.get(index) ?? 0) + 1);
    this.#count += 1;
    this.#sum += clamped;
    this.#sumOfSquares += clamped * clamped;
  }

  /** Adds all values of `other`. */
  merge(other: Sketch): void {
    this.#join(other.#buckets, other.#sum, other.#sumOfSquares);
  }

  /**
   * The value that a share `quantile` (0 to 1) of the values does not exceed (nearest rank), in milliseconds;
   * undefined when the sketch is empty.
   */
  quantile(quantile: number): number | undefined {
    if (this.#count === 0) return undefined;
    const rank = Math.max(1, Math.ceil(quantile * this.#count));
    let seen = 0;
    for (const index of [...this.#buckets.keys()].sort((a, b) => a - b)) {
      seen += this.#buckets.get(index) ?? 0;
      if (seen >= rank) return bucketValue(index);
    }
    return undefined;
  }

  /** Mean and (population) variance of the values; undefined when the sketch is empty. */
  moments(): Moments | undefined {
    if (this.#count === 0) return undefined;
    const meanMs = this.#sum / this.#count;
    return { meanMs, varianceMs2: Math.max(0, this.#sumOfSquares / this.#count - meanMs * meanMs) };
  }

  /** The sketch as plain data, buckets in rising order: equal contents give equal data. */
  toData(): SketchData {
    const buckets = [...this.#buckets].sort(([a], [b]) => a - b);
    return { buckets, sum: this.#sum, sumOfSquares: this.#sumOfSquares };
  }

  #join(buckets: Iterable<readonly [number, number]>, sum: number, sumOfSquares: number): void {
    for (const [index, count] of buckets) {
      this.#buckets.set(index, (this.#buckets.get(index) ?? 0) + count);
      this.#count += count;
    }
    this.#sum += sum;
    this.#sumOfSquares += sumOfSquares;
  }
}

/** The value in the middle (relatively) of a bucket: 2γ^i / (γ + 1). */
function bucketValue(index: number): number {
  return (2 * GAMMA ** index) / (GAMMA + 1);
}
