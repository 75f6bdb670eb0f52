import { pairedDifference, wilsonInterval } from '@nearfar/core';
import type { Accuracy, Agreement, EvalRule, VariantSpec } from '@nearfar/protocol';
import type { Candidate } from './candidate.ts';
import type { Ran } from './trial.ts';

/** Largest relative error against the base (‖difference‖ / ‖base‖ of an output) that a variant of a precision may have. */
export const LARGEST_ERROR: Readonly<Record<VariantSpec['precision'], number>> = {
  fp32: 1e-3,
  fp16: 0.02,
  int8: 0.15,
  'int8-dynamic': 0.3,
  mixed: 0,
};

/** Whether a variant is good enough, and how accurate it is. */
export type Verdict =
  | { readonly kind: 'accepted'; readonly accuracy: Accuracy }
  | { readonly kind: 'rejected'; readonly reason: string };

/** What a verdict rests on besides the trials. */
export interface Bar {
  /** Accuracy that a generated variant may lose, 0 to 1; its agreement with the base may be short of 1 by twice as much. */
  readonly maxAccuracyDrop: number;
  /** What counts as right, where there are labels. */
  readonly metric: EvalRule['metric'] | undefined;
  readonly inputs: Agreement['inputs'];
}

/**
 * Judges a supplied variant by itself, a generated one beside its base on the same inputs.
 *
 * With labels the whole 95 % interval of the paired accuracy drop has to stay within `maxAccuracyDrop`: a small data set
 * whose interval is wider proves nothing. Without labels the share of equal answers has to reach 1 − 2 × `maxAccuracyDrop`.
 */
export function judge(candidate: Candidate, trial: Ran, base: Ran | undefined, bar: Bar): Verdict {
  if (base !== undefined) {
    const largest = LARGEST_ERROR[candidate.precision];
    // Written so that NaN is rejected.
    if (!(trial.error <= largest)) {
      const found = trial.error.toPrecision(2);
      return rejected(
        `its outputs are not near enough to those of "${candidate.base}": relative error ${found}, expected at most ${largest}`,
      );
    }
  }
  const right = rightOf(trial);
  const accuracy =
    bar.metric !== undefined && right !== undefined
      ? measured(right, base && rightOf(base), bar.metric)
      : declared(candidate, trial, base, bar.inputs);
  const reason = base === undefined ? undefined : shortfall(accuracy, bar);
  return reason === undefined ? { kind: 'accepted', accuracy } : rejected(reason);
}

function rightOf({ answers, right }: Ran): Uint8Array | undefined {
  return answers?.right ?? right;
}

function measured(
  right: Uint8Array,
  baseRight: Uint8Array | undefined,
  metric: EvalRule['metric'],
): Accuracy {
  const count = sum(right);
  const figure: Accuracy = {
    value: count / right.length,
    source: 'measured',
    sampleSize: right.length,
    metric,
    interval: wilsonInterval(count, right.length),
  };
  if (baseRight === undefined) return figure;
  const cells = { both: 0, onlyFirst: 0, onlySecond: 0, neither: 0 };
  for (const [index, own] of right.entries()) {
    const other = baseRight[index] === 1;
    if (own === 1 && other) cells.both += 1;
    else if (other) cells.onlyFirst += 1;
    else if (own === 1) cells.onlySecond += 1;
    else cells.neither += 1;
  }
  // First = the base, so that the difference is what is lost.
  return { ...figure, drop: pairedDifference(cells) };
}

/** Without labels: what the manifest declares, less what disagreement with the base may cost at worst. */
function declared(
  candidate: Candidate,
  trial: Ran,
  base: Ran | undefined,
  inputs: Agreement['inputs'],
): Accuracy {
  const value = candidate.declaredAccuracy ?? 0;
  const same = base && sameAnswers(trial, base);
  if (same === undefined) return { value, source: 'declared', sampleSize: 0 };
  const share = same.total === 0 ? 0 : same.count / same.total;
  const agreement: Agreement = {
    value: share,
    sampleSize: same.total,
    interval: wilsonInterval(same.count, same.total),
    inputs,
  };
  return { value: Math.max(0, value - (1 - share)), source: 'agreement', sampleSize: 0, agreement };
}

function sameAnswers(trial: Ran, base: Ran): { readonly count: number; readonly total: number } | undefined {
  if (trial.answers === undefined || base.answers === undefined) return trial.same;
  const other = base.answers.best;
  const count = trial.answers.best.reduce((total, best, index) => total + (best === other[index] ? 1 : 0), 0);
  return { count, total: other.length };
}

/** Why a generated variant is not good enough, if it is not. */
function shortfall({ drop, agreement }: Accuracy, { maxAccuracyDrop }: Bar): string | undefined {
  if (drop !== undefined && drop.high > maxAccuracyDrop) {
    const sure = drop.low > maxAccuracyDrop ? '' : '; more labelled data would narrow the interval';
    return `it may lose ${points(drop.high)} points of accuracy (95 % interval ${points(drop.low)} to ${points(drop.high)}), more than ${points(maxAccuracyDrop)}${sure}`;
  }
  const least = Math.max(0, 1 - 2 * maxAccuracyDrop);
  if (agreement !== undefined && agreement.value < least) {
    return `it agrees with its base on ${percent(agreement.value)} of ${agreement.sampleSize} inputs, less than ${percent(least)}`;
  }
  return undefined;
}

function rejected(reason: string): Verdict {
  return { kind: 'rejected', reason };
}

function sum(values: Uint8Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function points(share: number): string {
  return (share * 100).toFixed(2);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
