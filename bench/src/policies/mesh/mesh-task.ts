import { type RequestSpec, resolveSpec } from '@nearfar/core';
import type { Scenario, ScenarioTask } from '../../scenario/scenario.ts';
import type { SimulatedRequest } from '../../simulator/policy.ts';
import type { Way } from './option-builder.ts';

/** What the requests of a task, or their second stages, ask for. */
export interface MeshTask {
  readonly task: ScenarioTask;
  readonly spec: RequestSpec;
  readonly way: Way;
}

/** The tasks of a scenario, by name. */
export function meshTasks({ tasks }: Scenario): ReadonlyMap<string, MeshTask> {
  return new Map(
    tasks.map((task) => {
      const { sloMs, sloTarget, minAccuracy, prefer } = task;
      const target = sloTarget === undefined ? {} : { slo_target: sloTarget };
      const spec = resolveSpec({ slo_ms: sloMs, ...target, min_accuracy: minAccuracy, prefer }, {});
      return [task.task, { task, spec, way: 'there-and-back' }];
    }),
  );
}

/** With the deadline of the request, where its trace names one. */
export function specOf({ spec }: MeshTask, { deadlineMs, arrivalMs }: SimulatedRequest): RequestSpec {
  const sloMs = deadlineMs - arrivalMs;
  return sloMs === spec.sloMs ? spec : { ...spec, sloMs };
}
