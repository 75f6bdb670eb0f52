import type { TaskRecord } from '@nearfar/core';
import type { TaskInfo } from '@nearfar/protocol';
import type { Context } from '../context.ts';
import { taskInfo } from '../task-info.ts';

/** A task as pages and the console see it, with how far its rollout is. */
export function liveInfo({ rollouts, shadows }: Context, record: TaskRecord): TaskInfo {
  const info = taskInfo(record);
  const { rollout } = info;
  if (rollout === undefined) return info;
  return {
    ...info,
    rollout: {
      ...rollout,
      state: rollouts.isWarm(info.task) ? 'serving' : 'warming',
      ...(rollout.mode === 'shadow' && { shadow: shadows.counts(info.task, rollout.revision) }),
    },
  };
}
