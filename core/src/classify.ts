import {
  type ClassificationPostprocess,
  float32Values,
  MeshError,
  type Prediction,
  type Tensor,
} from '@nearfar/protocol';

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
  const activated = activate(scores, rule.activation);
  return labels
    .map((label, index) => ({ label, score: activated[index] ?? 0 }))
    .sort((a, b) => b.score - a.score);
}

function activate(scores: Float32Array, activation: ClassificationPostprocess['activation']): number[] {
  const values = Array.from(scores);
  if (activation === 'none') return values;
  if (activation === 'sigmoid') return values.map((value) => 1 / (1 + Math.exp(-value)));
  // Subtracting the maximum keeps exp from overflowing and does not change the result.
  const highest = Math.max(...values);
  const exponentials = values.map((value) => Math.exp(value - highest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}
