import { calibrateCascade, cascadeId, measureCascade, splitHalves } from '@nearfar/core';
import type { EvalRule, VariantSpec } from '@nearfar/protocol';
import type { Accepted } from './trial.ts';
import type { VariantFacts } from './variant-facts.ts';

/**
 * Accuracy that a cascade may lose against its large stage, on the half that its threshold is chosen on; on inputs that it was
 * not chosen on it loses more.
 */
const MAX_DROP = 0.001;
/** A cascade that sends more inputs on than this saves too little to be worth its two stages. */
const MAX_ESCALATION = 0.6;

/**
 * Makes a cascade of each two models of which the larger one is the more accurate: the threshold is chosen on one half of
 * the labelled data, accuracy and escalation are measured on the other. The stages are the models' fp32 ONNX variants, or
 * tfjs where there is no ONNX.
 */
export function makeCascades(accepted: readonly Accepted[], metric: EvalRule['metric']): VariantFacts[] {
  const stages = accepted
    .filter(({ candidate, trial }) => candidate.origin === 'supplied' && trial.answers !== undefined)
    .sort((a, b) => rankOf(a) - rankOf(b))
    .filter(
      ({ candidate }, index, all) =>
        all.findIndex((other) => other.candidate.model === candidate.model) === index,
    )
    .sort((a, b) => sizeOf(a) - sizeOf(b));
  return stages.flatMap((small, index) =>
    stages.slice(index + 1).flatMap((large) => cascadeOf(small, large, metric) ?? []),
  );
}

function cascadeOf(small: Accepted, large: Accepted, metric: EvalRule['metric']): VariantFacts | undefined {
  const [first, second] = [small.trial.answers, large.trial.answers];
  if (first === undefined || second === undefined) return undefined;
  const samples = Array.from(first.confidence, (confidence, index) => ({
    confidence,
    isSmallRight: first.right[index] === 1,
    isLargeRight: second.right[index] === 1,
  }));
  const { calibration, measurement } = splitHalves(samples);
  const calibrated = calibrateCascade(calibration, MAX_DROP);
  if (calibrated.kind === 'none') return undefined;
  const { threshold } = calibrated;
  const { accuracy, escalation, drop } = measureCascade(measurement, threshold);
  // On the same half: over all the data the small stage may be more, or less, accurate.
  const smallShare = measurement.filter(({ isSmallRight }) => isSmallRight).length / measurement.length;
  if (escalation.value > MAX_ESCALATION || accuracy.value <= smallShare) return undefined;
  const names = { small: small.candidate.model, large: large.candidate.model, threshold };
  return {
    variant: cascadeId(names),
    model: large.candidate.model,
    precision: 'mixed',
    format: 'cascade',
    origin: 'generated',
    accuracy: {
      value: accuracy.value,
      source: 'measured',
      sampleSize: accuracy.sampleSize,
      metric,
      interval: accuracy.interval,
      drop,
    },
    inputs: [...small.trying.inputs] as VariantSpec['inputs'],
    outputs: [...small.trying.outputs] as VariantSpec['outputs'],
    artifacts: [],
    cascade: { small: small.candidate.variant, large: large.candidate.variant, threshold, escalation },
    tolerance: 1e-3,
    isBatchable: false,
  };
}

/** Lower for what stands for its model: fp32 before other precisions, ONNX before tfjs. */
function rankOf({ candidate: { format, precision } }: Accepted): number {
  return (precision === 'fp32' ? 0 : 2) + (format === 'onnx' ? 0 : 1);
}

function sizeOf({ candidate }: Accepted): number {
  return candidate.artifacts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
