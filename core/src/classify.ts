import {
  type ClassificationPostprocess,
  float32Values,
  MeshError,
  type Prediction,
  type Tensor,
} from '@nearfar/protocol';
import { activate } from './activation.ts';

/**
 * Turns the scores of one picture into predictions, best first; equal scores keep the order of the labels.
 *
 * @throws MeshError `MESH_EXECUTION_FAILED` when the model's output does not fit the labels or holds a score that is no
 * finite number.
 */
export function classify(
  outputs: readonly Tensor[],
  rule: ClassificationPostprocess,
  labels: readonly string[],
): Prediction[] {
  const activated = activatedScores(outputs, rule, labels);
  return labels
    .map((label, index) => ({ label, score: activated[index] ?? 0 }))
    .sort((a, b) => b.score - a.score);
}

/**
 * The scores of one input after the activation, one a label, in the order of the labels. The highest is the model's
 * confidence.
 *
 * @throws MeshError `MESH_EXECUTION_FAILED`, as `classify` does.
 */
export function activatedScores(
  outputs: readonly Tensor[],
  rule: ClassificationPostprocess,
  labels: readonly string[],
): number[] {
  const output = outputs.find((tensor) => tensor.name === rule.output);
  if (output === undefined)
    throw new MeshError('MESH_EXECUTION_FAILED', `The model gave no output "${rule.output}"`);
  const scores = float32Values(output);
  if (scores.length !== labels.length) {
    throw new MeshError(
      'MESH_EXECUTION_FAILED',
      `Expected ${labels.length} scores, one a label, got ${scores.length}`,
    );
  }
  const broken = scores.findIndex((score) => !Number.isFinite(score));
  if (broken >= 0) {
    throw new MeshError(
      'MESH_EXECUTION_FAILED',
      `Expected the model to give finite scores, got ${scores[broken]} for "${labels[broken]}"`,
    );
  }
  return activate(scores, rule.activation);
}
