import { ProfileTable } from '../profile-table.ts';
import { normalAt, STREAMS, uniformAt } from '../random.ts';
import type { ProfileRow } from '../scenario/scenario.ts';
import type { Instance, InstanceRequest } from './known-run.ts';

/**
 * A small instance that follows from a seed: 1 to 8 requests of two tasks, one or two classes of workers with two variants each,
 * batches up to 4, budgets from hopeless to roomy, some callers with a device of their own.
 */
export function randomInstance(seed: number): Instance {
  let index = 0;
  const from = (least: number, most: number): number => {
    index += 1;
    return least + (most - least) * uniformAt(seed, STREAMS.policy, index);
  };
  const tasks = ['a', 'b'];
  const rows = ['cpu', 'gpu'].flatMap((deviceClass) =>
    tasks.flatMap((task) =>
      ['small', 'large'].flatMap((variant): ProfileRow[] => {
        const p50Ms = from(3, 12);
        const growth = from(1, 3.5);
        const tail = from(1, 1.5);
        const row = {
          task,
          variant,
          deviceClass,
          loadMs: 0,
          memoryBytes: 1,
          accuracy: variant === 'small' ? 0.8 : 0.9,
        };
        return [
          { ...row, batch: 1, p50Ms, p90Ms: p50Ms * tail, p99Ms: p50Ms * tail * from(1, 1.4) },
          { ...row, batch: 4, p50Ms: p50Ms * growth, p90Ms: p50Ms * growth * tail },
        ];
      }),
    ),
  );
  const profiles = new ProfileTable(rows);
  const requests = Array.from({ length: 1 + Math.floor(from(0, 8)) }, (_, caller): InstanceRequest => {
    const arrivalMs = from(0, 40);
    const deadlineMs = arrivalMs + from(4, 45);
    const wayMs = from(0, 4);
    return {
      task: from(0, 1) < 0.8 ? 'a' : 'b',
      caller,
      arrivalMs,
      deadlineMs,
      releaseMs: arrivalMs + wayMs,
      dueMs: deadlineMs - wayMs,
      minAccuracy: from(0, 1) < 0.5 ? 0 : 0.9,
      score: normalAt(seed, STREAMS.service, caller),
      remoteUsd: from(0, 1),
      privateWays:
        from(0, 1) < 0.3
          ? [{ variant: 'page', timeMs: from(5, 40), energyUsd: from(0, 6), downloadUsd: 0, readyMs: 0 }]
          : [],
    };
  });
  const classes = ['cpu', 'gpu'].slice(from(0, 1) < 0.5 ? 1 : 0).map((deviceClass) => ({
    count: 1,
    usdPerMs: from(0.2, 1),
    profiles: tasks.flatMap((task) => profiles.ofClass(task, deviceClass)),
    memoryBytes: Number.POSITIVE_INFINITY,
  }));
  return { requests, classes, provisionedUsd: 0 };
}
