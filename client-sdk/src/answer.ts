import { type Decision, explainCandidates, predict } from '@nearfar/core';
import type { Execution } from './execute.ts';
import type { InferParts } from './infer-parts.ts';
import type { PageRequest } from './request.ts';
import type { Answer } from './types.ts';

/**
 * Makes the caller's answer of what a place gave, and emits its outcome.
 *
 * @param decisions those of this page that led to it, which explain it.
 */
export function answer(
  { emit }: Pick<InferParts, 'emit'>,
  { rows, spec }: Pick<PageRequest, 'rows' | 'spec'>,
  { task, outputs, placement: where }: Execution,
  decisions: readonly Decision[],
): Answer {
  const placement = where.accuracy < spec.minAccuracy ? { ...where, degraded: true as const } : where;
  emit('outcome', { ...placement, task: task.task });
  const rule = rows === 1 ? task.postprocess : undefined;
  return {
    predictions: rule === undefined ? [] : predict(outputs, rule, task.labels),
    outputs,
    placement,
    ...(spec.explain && { explanation: decisions.flatMap(explainCandidates) }),
  };
}
