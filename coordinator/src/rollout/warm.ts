import type { ProfileBook, RegisteredTask } from '@nearfar/core';
import type { VariantSpec } from '@nearfar/protocol';
import type { FleetWorker } from '../fleet-worker.ts';

/** Whether a worker would be a candidate for a variant now: it holds it, and its device class has measured it. */
export function serves(book: ProfileBook, worker: FleetWorker, variant: VariantSpec): boolean {
  if (worker.state !== 'active' || worker.replica(variant)?.state !== 'ready') return false;
  const { deviceClass } = worker.hello.device;
  return book.service({ ...variant, deviceClass }, 1) !== undefined;
}

/**
 * Whether a revision could take over: every variant that some active worker of a tier can run is served by at least one of
 * that tier, since callers may keep off the other tier, and there is at least one such variant. A variant that failed on
 * every worker that could run it does not hold it up; it counts as not served.
 */
export function isWarm(task: RegisteredTask, workers: readonly FleetWorker[], book: ProfileBook): boolean {
  let served = 0;
  for (const variant of task.variants) {
    for (const tier of ['edge', 'pool']) {
      const able = workers.filter(
        (worker) => worker.hello.tier === tier && worker.state === 'active' && worker.canRun(variant),
      );
      if (able.some((worker) => serves(book, worker, variant))) served += 1;
      else if (able.some((worker) => worker.replica(variant)?.state !== 'failed')) return false;
    }
  }
  return served > 0;
}

/** Whether no worker could run any variant of `tasks`: then there is nothing to wait for. */
export function isUnattended(tasks: readonly RegisteredTask[], workers: readonly FleetWorker[]): boolean {
  return !tasks.some(({ variants }) =>
    variants.some((variant) => workers.some((worker) => worker.state === 'active' && worker.canRun(variant))),
  );
}
