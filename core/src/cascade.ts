import type { Cascade, ShareInterval } from '@nearfar/protocol';
import { type PairedDifference, pairedDifference, wilsonInterval } from './statistics.ts';

/*
 * A cascade: a small model answers what it is sure of, a large one the rest. The idea is Viola & Jones's ("Rapid object
 * detection using a boosted cascade of simple features", CVPR 2001); with neural networks and a threshold that is chosen
 * on held-out data it is NoScope's (Kang et al., VLDB 2017) and that of IDK cascades (Wang et al., "IDK cascades: fast
 * deep learning by learning not to overthink", UAI 2018).
 */

/** What the two stages say of one labelled input. */
export interface CascadeSample {
  /** The small stage's highest activated score. */
  readonly confidence: number;
  readonly isSmallRight: boolean;
  readonly isLargeRight: boolean;
}

/** A share of inputs with the number of them and its Wilson interval. */
export interface MeasuredShare {
  /** 0 to 1. */
  readonly value: number;
  readonly sampleSize: number;
  readonly interval: ShareInterval;
}

/** What a cascade does on inputs that its threshold was not chosen on. */
export interface CascadeMeasurement {
  readonly accuracy: MeasuredShare;
  /** Share of inputs that go on to the large stage. */
  readonly escalation: MeasuredShare;
  /** Accuracy lost against the large stage alone, on the same inputs. */
  readonly drop: PairedDifference;
}

/** A threshold for a pair of stages, or why the pair makes no cascade. */
export type CascadeCalibration =
  | {
      readonly kind: 'calibrated';
      /** A whole percent, above 0 and up to 1. */
      readonly threshold: number;
      /** Accuracy and share of escalated inputs on the calibration half: optimistic, since it was chosen for them. */
      readonly accuracy: number;
      readonly escalation: number;
    }
  | { readonly kind: 'none'; readonly reason: string };

/** Below this many inputs the accuracy is known to about ± 10 points, and a threshold chosen on it means nothing. */
export const MIN_CALIBRATION_SAMPLES = 100;

const PERCENT = 100;

/** The confidence of a small stage: its highest activated score. */
export function confidenceOf(scores: readonly number[]): number {
  return scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY);
}

/** The gate: whether the small stage's answer stands. Without scores it does not. */
export function isConfident(scores: readonly number[], threshold: number): boolean {
  return confidenceOf(scores) >= threshold;
}

/** Name of a cascade: `<small>..<large>.t<percent>`. */
export function cascadeId({
  small,
  large,
  threshold,
}: Pick<Cascade, 'small' | 'large' | 'threshold'>): string {
  return `${small}..${large}.t${Math.round(threshold * PERCENT)}`;
}

/**
 * Parts labelled inputs into a half to choose the threshold on and a half to measure on, the first one larger by one when
 * the number is odd.
 *
 * The inputs are put in the order of a hash of their position, and taken in turn. The position alone would not do: data
 * sets are often sorted by label or repeat their labels in turn, so that even and odd positions hold different labels.
 * There is no seed, so that registering the same data again gives the same cascade.
 */
export function splitHalves<Sample>(samples: readonly Sample[]): {
  calibration: Sample[];
  measurement: Sample[];
} {
  const order = samples
    .map((sample, index) => ({ sample, index, hash: hashOf(index) }))
    .sort((a, b) => a.hash - b.hash || a.index - b.index);
  return {
    calibration: order.filter((_, rank) => rank % 2 === 0).map(({ sample }) => sample),
    measurement: order.filter((_, rank) => rank % 2 === 1).map(({ sample }) => sample),
  };
}

/**
 * The lowest threshold, in whole percents, from which on the cascade is as accurate as wished: the large stage's accuracy
 * on the same inputs minus `maxAccuracyDrop`. Escalation only grows with the threshold, so that is the one with the least
 * of it. Every higher threshold has to reach the accuracy too: a single lower one that does is a lucky dip in the noise.
 *
 * @param samples the calibration half.
 * @param maxAccuracyDrop 0 to 1.
 */
export function calibrateCascade(
  samples: readonly CascadeSample[],
  maxAccuracyDrop: number,
): CascadeCalibration {
  const count = samples.length;
  if (count < MIN_CALIBRATION_SAMPLES) {
    return {
      kind: 'none',
      reason: `Expected at least ${MIN_CALIBRATION_SAMPLES} labelled inputs to choose the threshold on, got ${count}`,
    };
  }
  const wished = countOf(samples, ({ isLargeRight }) => isLargeRight) - maxAccuracyDrop * count;
  // Shares are compared as counts, with room for the rounding of the product: 0.01 × 300 is a little more than 3.
  const reaches = (percent: number) => rightCount(samples, percent / PERCENT) >= wished - 1e-9 * count;

  let lowest: number | undefined;
  for (let percent = PERCENT; percent >= 0 && reaches(percent); percent -= 1) lowest = percent;
  if (lowest === undefined) {
    return {
      kind: 'none',
      reason: `No threshold up to 1 reaches an accuracy of ${(wished / count).toFixed(4)}: where the small stage is sure, it is wrong more often than the large one`,
    };
  }
  if (lowest === 0) {
    return {
      kind: 'none',
      reason: `The small stage alone reaches the wished accuracy of ${(wished / count).toFixed(4)}`,
    };
  }
  const threshold = lowest / PERCENT;
  return {
    kind: 'calibrated',
    threshold,
    accuracy: rightCount(samples, threshold) / count,
    escalation: escalatedCount(samples, threshold) / count,
  };
}

/**
 * What a cascade does on `samples`, which should be the half that its threshold was not chosen on.
 *
 * @throws RangeError when there are none.
 */
export function measureCascade(samples: readonly CascadeSample[], threshold: number): CascadeMeasurement {
  if (samples.length === 0) throw new RangeError('Expected samples to measure a cascade on, got none');
  const outcomes = samples.map((sample) => ({
    isCascadeRight: isRight(sample, threshold),
    isLargeRight: sample.isLargeRight,
  }));
  return {
    accuracy: measuredShare(rightCount(samples, threshold), samples.length),
    escalation: measuredShare(escalatedCount(samples, threshold), samples.length),
    drop: pairedDifference({
      both: countOf(outcomes, ({ isCascadeRight, isLargeRight }) => isLargeRight && isCascadeRight),
      onlyFirst: countOf(outcomes, ({ isCascadeRight, isLargeRight }) => isLargeRight && !isCascadeRight),
      onlySecond: countOf(outcomes, ({ isCascadeRight, isLargeRight }) => !isLargeRight && isCascadeRight),
      neither: countOf(outcomes, ({ isCascadeRight, isLargeRight }) => !isLargeRight && !isCascadeRight),
    }),
  };
}

function isRight({ confidence, isSmallRight, isLargeRight }: CascadeSample, threshold: number): boolean {
  return confidence >= threshold ? isSmallRight : isLargeRight;
}

function rightCount(samples: readonly CascadeSample[], threshold: number): number {
  return countOf(samples, (sample) => isRight(sample, threshold));
}

function escalatedCount(samples: readonly CascadeSample[], threshold: number): number {
  return countOf(samples, ({ confidence }) => confidence < threshold);
}

function countOf<Item>(items: readonly Item[], predicate: (item: Item) => boolean): number {
  return items.reduce((count, item) => (predicate(item) ? count + 1 : count), 0);
}

function measuredShare(count: number, sampleSize: number): MeasuredShare {
  return { value: count / sampleSize, sampleSize, interval: wilsonInterval(count, sampleSize) };
}

/** The finaliser of MurmurHash3 (Appleby, public domain): each bit of the index moves half of the bits of the hash. */
function hashOf(index: number): number {
  let hash = (index + 1) | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
