import { outputDifference, type RegisteredTask, tensorValues } from '@nearfar/core';
import { elementCount, type Tensor, type VariantSpec } from '@nearfar/protocol';

/** An answer and what gave it. */
export interface Answered {
  readonly task: Pick<RegisteredTask, 'labels' | 'postprocess'>;
  readonly variant: Pick<VariantSpec, 'tolerance'>;
  readonly outputs: readonly Tensor[];
}

/**
 * Whether two revisions answered alike: for classifications the same best label for every input, for all else outputs of
 * the same names whose `outputDifference` is within the wider of both tolerances.
 */
export function isSameAnswer(one: Answered, other: Answered): boolean {
  const [first, second] = [bestLabels(one), bestLabels(other)];
  if (first !== undefined && second !== undefined) {
    return first.length === second.length && first.every((label, row) => label === second[row]);
  }
  const tolerance = Math.max(one.variant.tolerance, other.variant.tolerance);
  return one.outputs.every((expected) => {
    const found = other.outputs.find(({ name }) => name === expected.name);
    return (
      found?.datatype === expected.datatype &&
      elementCount(found.shape) === elementCount(expected.shape) &&
      outputDifference(expected, found) <= tolerance
    );
  });
}

/** The best label of each input; the activation does not change which one that is. Undefined when it is no classification. */
function bestLabels({ task, outputs }: Answered): string[] | undefined {
  const rule = task.postprocess;
  const output =
    rule?.kind === 'classification' ? outputs.find(({ name }) => name === rule.output) : undefined;
  if (output === undefined) return undefined;
  const scores = tensorValues(output);
  const width = task.labels.length;
  return Array.from({ length: scores.length / width }, (_, row) => {
    let best = 0;
    for (let index = 1; index < width; index += 1) {
      if (Number(scores[row * width + index]) > Number(scores[row * width + best])) best = index;
    }
    return task.labels[best] ?? '';
  });
}
