import type { ClassificationPostprocess } from '@nearfar/protocol';

/** What is applied to a model's raw scores: `none` when it gives probabilities itself. */
export type Activation = ClassificationPostprocess['activation'];

/** The scores of one input (or one box) after the activation; `values` are finite. */
export function activate(values: ArrayLike<number>, activation: Activation): number[] {
  const scores = Array.from(values);
  if (activation === 'none') return scores;
  if (activation === 'sigmoid') return scores.map((value) => 1 / (1 + Math.exp(-value)));
  // Subtracting the maximum keeps exp from overflowing and does not change the result.
  const highest = scores.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const exponentials = scores.map((value) => Math.exp(value - highest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}
