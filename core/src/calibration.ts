import type { Moments } from '@nearfar/protocol';
import { type Shift, ShiftTracker } from './calibration-shift.ts';
import { logNormal, normalCdf, normalQuantile, onTimeProbability, quantileMs } from './distribution.ts';

/** What turns a predicted latency into one that holds; the part of a calibration that decisions use. */
export interface CalibrationCurve {
  /** P(latency ≤ `deadlineMs`), 0 to 1, of a latency that is predicted as `time`. */
  probability(time: Moments, deadlineMs: number): number;
  /** The latency that a share `quantile` (above 0, below 1) stays below, in milliseconds. */
  quantileMs(time: Moments, quantile: number): number;
  /** The mean in milliseconds: the predicted one times the factor by which such latencies lie above their predictions. */
  meanMs(time: Moments): number;
}

/** Levels whose quantiles are followed, rising. Those between and beyond follow by their normal scores. */
export const CALIBRATION_LEVELS = [0.5, 0.9, 0.95, 0.99, 0.999] as const;

/** A calibration as plain data. */
export interface CalibrationData {
  /** Requests that were observed; with 0, predictions are taken as they are. */
  readonly samples: number;
  /** Added to the logarithm of a predicted latency. */
  readonly shift: number;
  /** Observations that the shift rests on, from 1. */
  readonly weight: number;
  /** Spread of the logarithm, as a multiple of the predicted one. */
  readonly spread: number;
  /** Quantiles at `CALIBRATION_LEVELS` of the deviation, in spreads. */
  readonly quantiles: readonly number[];
}

/** The quantiles that were promised of a request when it was placed, in spreads; see `Calibration.promise`. */
export type Promised = ArrayLike<number>;

/** Requests below which a calibrated prediction is never more hopeful than the uncalibrated one. */
export const MIN_CALIBRATION_REQUESTS = 30;

const SCORES = Float64Array.from(CALIBRATION_LEVELS, normalQuantile);
const LAST = SCORES.length - 1;

/**
 * By how many spreads an observation above a quantile raises it, times the quantile's level; one below lowers it by the
 * rest. Large steps hold the coverage of short stretches (see `Calibration`), small ones keep the quantile calm: it
 * trembles by √(step × level × (1 − level) ÷ 2 density), here by a quarter of a spread, which costs 4 % of pinball loss
 * at 0.95 and 0.99. Nothing is promised at the median alone, so that may be calm.
 */
const STEPS = Float64Array.of(0.01, 0.1, 0.3, 0.4, 0.4);

/** Observations that a prediction itself counts for. */
const PRIOR = 4;
/** The share of an observation in the spread, at least: it follows within 200 observations. */
const LEAST_SPREAD_GAIN = 1 / 200;
/** √(π/2): the standard deviation of a normal deviation by its mean size. */
const DEVIATION_BY_MEAN = 1.2533141373155;
/** Deviations beyond this many spreads say no more about the spread. */
const CLIP = 3;
/** The least spread of a logarithm, 1 %: what is predicted as certain turns out not to be once it is observed. */
const LEAST_SCALE = 0.01;
/** The shortest latency that is told from zero, in milliseconds. */
const LEAST_MS = 1e-3;
const SPREAD_BOUNDS = { least: 1e-2, most: 1e2 };

/**
 * Adaptive conformal correction of predicted latencies, for one kind of placement.
 *
 * A latency is predicted as log-normal with some location and scale. What is followed is the deviation
 * u = (ln latency − location − shift) ÷ (scale × spread): the *shift* (a factor on the latency, `ShiftTracker`) and the
 * *spread* follow quickly and do not have to be right; the quantiles of u at `CALIBRATION_LEVELS` follow by the gradient
 * of the pinball loss, q ← q + step × (1{u > q} − (1 − level)), whatever the distribution of u. This is the quantile
 * tracking of adaptive conformal inference (Gibbs and Candès 2021), in the form of conformal PID control (Angelopoulos,
 * Candès and Tibshirani 2023) with shift and spread as its scorecaster. Summed over N requests it says that the share of
 * latencies above the promised quantile is 1 − level to within (change of q) ÷ (N × step), for any sequence of latencies.
 *
 * To be told about every *chosen* placement and no other: the cheapest and fastest of many predictions tends to be too
 * hopeful, and only what comes of such choices shows by how much. Always with the uncalibrated prediction.
 *
 * A latency of which only a lower bound is known (dropped, cancelled, hedged away) counts in full for the quantiles below
 * the bound, and for those above it by the probability of exceeding them given the bound (Efron 1967: redistribution to
 * the right, whose fixed point is the estimator of Kaplan and Meier). To leave such requests out would keep the short
 * ones and lose the long ones.
 *
 * Each call costs the same whatever was observed.
 */
export class Calibration implements CalibrationCurve {
  readonly #shift = new ShiftTracker(PRIOR);
  readonly #quantiles = Float64Array.from(SCORES);
  /** The quantiles made monotone: they are followed one by one and may cross for a moment. */
  readonly #knots = Float64Array.from(SCORES);
  #spread = 1;
  #samples = 0;
  #snapshot: Calibration | undefined;
  #version = 0;

  /** Rebuilds a calibration from its data; the inverse of `toData`. */
  static fromData({ samples, shift, weight, spread, quantiles }: CalibrationData): Calibration {
    const calibration = new Calibration();
    calibration.#shift.seed(shift, weight);
    calibration.#spread = spread;
    calibration.#samples = samples;
    calibration.#quantiles.set(quantiles.slice(0, SCORES.length));
    calibration.#order();
    return calibration;
  }

  /** As it is now, whatever is observed from now on. Made once for all who ask between two observations. */
  snapshot(): Calibration {
    this.#snapshot ??= Calibration.fromData(this.toData());
    return this.#snapshot;
  }

  /** Grows with each change. */
  get version(): number {
    return this.#version;
  }

  /** Requests that were observed. With 0, predictions are taken as they are. */
  get samples(): number {
    return this.#samples;
  }

  /** `worker` is a further shift, of one worker against its like. */
  probability(time: Moments, deadlineMs: number, worker?: Shift): number {
    const raw = onTimeProbability(time, deadlineMs);
    if (this.#samples === 0 || !isCalibrated(time) || !(deadlineMs > 0)) return raw;
    const { location, scale } = moderate(time);
    const center = location + this.#shift.shift + (worker?.shift ?? 0);
    const deviation = (Math.log(deadlineMs) - center) / (scale * this.#width(worker));
    const calibrated = normalCdf(this.#scoreOf(deviation));
    return this.#samples < MIN_CALIBRATION_REQUESTS ? Math.min(raw, calibrated) : calibrated;
  }

  /** `worker` is a further shift, of one worker against its like. */
  quantileMs(time: Moments, quantile: number, worker?: Shift): number {
    const raw = quantileMs(time, quantile);
    if (this.#samples === 0 || !isCalibrated(time)) return raw;
    const { location, scale } = moderate(time);
    const center = location + this.#shift.shift + (worker?.shift ?? 0);
    const deviation = this.#deviationAt(normalQuantile(quantile));
    const calibrated = Math.exp(center + deviation * scale * this.#width(worker));
    return this.#samples < MIN_CALIBRATION_REQUESTS ? Math.max(raw, calibrated) : calibrated;
  }

  meanMs(time: Moments, worker?: Shift): number {
    if (this.#samples === 0 || !isCalibrated(time)) return time.meanMs;
    return time.meanMs * Math.exp(this.#shift.shift + (worker?.shift ?? 0));
  }

  /**
   * Takes in what came of a chosen placement.
   *
   * @param predicted what was predicted before any calibration, of all that was still to come.
   * @param actualMs what it took.
   * @param isCensored whether it would have taken longer than `actualMs`, nobody knows how much.
   * @param worker the shift of its worker, by which the promise was corrected; it is read here, not moved.
   * @param promised what `promise` gave when it was placed; absent = nothing was observed since.
   * @returns how far it lay from the calibrated center, in units of `spreadOf` the prediction as it was before; of a
   *   censored one what is expected; undefined for a prediction that cannot be corrected, which changes nothing.
   */
  observe(
    predicted: Moments,
    actualMs: number,
    isCensored = false,
    worker?: Shift,
    promised: Promised = this.#knots,
  ): number | undefined {
    if (!isCalibrated(predicted) || !Number.isFinite(actualMs)) return undefined;
    this.#snapshot = undefined;
    this.#version += 1;
    const { location, scale } = moderate(predicted);
    const center = location + this.#shift.shift + (worker?.shift ?? 0);
    const width = this.#width(worker);
    const deviation = (Math.log(Math.max(LEAST_MS, actualMs)) - center) / (scale * width);
    // The share of all latencies that lie above this one: 1 for a known one, which needs no guess.
    const above = isCensored ? Math.max(1e-9, 1 - normalCdf(this.#scoreOf(deviation))) : 1;
    for (let index = 0; index <= LAST; index += 1) {
      const share = 1 - (CALIBRATION_LEVELS[index] ?? 0);
      const isAbove = deviation > (promised[index] ?? 0);
      const exceeded = isAbove ? 1 : isCensored ? Math.min(1, share / above) : 0;
      this.#quantiles[index] = (this.#quantiles[index] ?? 0) + (STEPS[index] ?? 0) * (exceeded - share);
    }
    this.#order();
    this.#samples += 1;

    const size = isCensored ? meanSizeAbove(deviation) : Math.abs(deviation);
    const residual = isCensored ? meanAbove(deviation) : deviation;
    this.#shift.add(residual, scale * this.#spread);
    const gain = Math.max(LEAST_SPREAD_GAIN, 1 / (this.#samples + PRIOR));
    const growth = 1 + gain * (Math.min(CLIP, size) * DEVIATION_BY_MEAN - 1);
    this.#spread = Math.max(SPREAD_BOUNDS.least, Math.min(SPREAD_BOUNDS.most, this.#spread * growth));
    return residual;
  }

  /** Draws all that was learnt back towards the bare prediction, by a share of it, 0 to 1; see `CalibrationBook.passedOver`. */
  fade(share: number): void {
    this.#snapshot = undefined;
    this.#version += 1;
    this.#shift.fade(share);
    this.#spread **= 1 - share;
    for (let index = 0; index <= LAST; index += 1) {
      const quantile = this.#quantiles[index] ?? 0;
      this.#quantiles[index] = quantile + share * ((SCORES[index] ?? 0) - quantile);
    }
    this.#order();
  }

  /**
   * The quantiles as they are promised now, five numbers to be kept with a request until it has finished. Counted against
   * what was promised *of it*, the share of promises that held is the promised one however many requests were under way.
   * Shift and spread are not part of it: else all that was under way at a change would be counted as wrong once more.
   */
  promise(): Promised {
    return this.#knots.slice();
  }

  /** The spread of the logarithm of a latency that is predicted as `time`. */
  spreadOf(time: Moments): number {
    return moderate(time).scale * this.#spread;
  }

  /** As plain data; the inverse of `fromData`. */
  toData(): CalibrationData {
    return {
      samples: this.#samples,
      shift: this.#shift.shift,
      weight: this.#shift.weight,
      spread: this.#spread,
      quantiles: [...this.#quantiles],
    };
  }

  /** The spread, wider by what is not known of the center: the variance of a mean of n is 1/n of one observation's. */
  #width(worker: Shift | undefined): number {
    const unknown = 1 / this.#shift.weight + (worker === undefined ? 0 : 1 / worker.weight);
    return this.#spread * Math.sqrt(1 + unknown);
  }

  #order(): void {
    let least = Number.NEGATIVE_INFINITY;
    for (let index = 0; index <= LAST; index += 1) {
      // A quantile that reaches the one below it stops short of it, so that each deviation has one score.
      least = Math.max(this.#quantiles[index] ?? 0, least + 1e-3);
      this.#knots[index] = least;
    }
  }

  /** The normal score of a deviation: linear between knots, and on as in the outermost stretches. */
  #scoreOf(deviation: number): number {
    const knots = this.#knots;
    let index = 1;
    while (index < LAST && deviation > (knots[index] ?? 0)) index += 1;
    return interpolate(deviation, knots, SCORES, index);
  }

  /** The inverse of `#scoreOf`. */
  #deviationAt(score: number): number {
    let index = 1;
    while (index < LAST && score > (SCORES[index] ?? 0)) index += 1;
    return interpolate(score, SCORES, this.#knots, index);
  }
}

/** The line through points `index − 1` and `index`, at `x`. */
function interpolate(x: number, from: Float64Array, to: Float64Array, index: number): number {
  const x0 = from[index - 1] ?? 0;
  const y0 = to[index - 1] ?? 0;
  const slope = ((to[index] ?? 0) - y0) / ((from[index] ?? 0) - x0);
  return y0 + slope * (x - x0);
}

/** Whether a prediction has a logarithm to correct. */
function isCalibrated({ meanMs, varianceMs2 }: Moments): boolean {
  return meanMs > 0 && Number.isFinite(meanMs) && Number.isFinite(varianceMs2);
}

function moderate(time: Moments): { readonly location: number; readonly scale: number } {
  const { location, scale } = logNormal(time);
  return { location, scale: Math.max(LEAST_SCALE, scale) };
}

/** Mean of a standard normal deviation that is known to be above `bound` (the inverse Mills ratio; Tobin 1958). */
function meanAbove(bound: number): number {
  if (bound > CLIP) return bound;
  return density(bound) / (1 - normalCdf(bound));
}

/** Mean size of a standard normal deviation that is known to be above `bound`. */
function meanSizeAbove(bound: number): number {
  if (bound >= 0) return meanAbove(bound);
  return (2 * density(0) - density(bound)) / (1 - normalCdf(bound));
}

function density(x: number): number {
  return 0.3989422804014327 * Math.exp((-x * x) / 2);
}
