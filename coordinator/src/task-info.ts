import type { RegisteredTask, TaskRecord } from '@nearfar/core';
import type { TaskInfo, Tier, VariantSpec } from '@nearfar/protocol';

/** Tiers that can run a variant of `task`: all for ONNX and tfjs, for a cascade those that run its small stage. */
export function tiersOf(variant: VariantSpec, task: Pick<RegisteredTask, 'variants'>): Tier[] {
  if (variant.format !== 'cascade') return ['browser', 'edge', 'pool'];
  const small = task.variants.find((entry) => entry.variant === variant.cascade?.small);
  return small === undefined || small.format === 'cascade' ? [] : tiersOf(small, task);
}

/** A task as pages and the console see it. Whether a newer revision serves already, only a running mesh knows. */
export function taskInfo({ active, next, previous }: TaskRecord): TaskInfo {
  return {
    task: active.task,
    kind: active.kind,
    labels: [...active.labels],
    ...(active.preprocess !== undefined && { preprocess: active.preprocess }),
    ...(active.postprocess !== undefined && { postprocess: active.postprocess }),
    defaults: active.defaults,
    revision: active.revision,
    ...(active.registeredAt !== '' && { registeredAt: active.registeredAt }),
    variants: active.variants.map((variant) => ({ ...variant, tiers: tiersOf(variant, active) })),
    rejected: [...active.rejected],
    ...(next !== undefined && {
      rollout: { ...next.rollout, revision: next.task.revision, state: 'warming' },
    }),
    ...(previous !== undefined && { previousRevision: previous.revision }),
  };
}
