import type { Postprocess, Prediction, Tensor } from '@nearfar/protocol';
import { classify } from './classify.ts';
import { detect } from './detect.ts';

/**
 * What a task's answer says, best first: a score for each label, or the things that were detected.
 *
 * @throws MeshError `MESH_EXECUTION_FAILED` when the outputs do not fit the rule and the labels.
 */
export function predict(
  outputs: readonly Tensor[],
  rule: Postprocess,
  labels: readonly string[],
): Prediction[] {
  return rule.kind === 'classification' ? classify(outputs, rule, labels) : detect(outputs, rule, labels);
}
