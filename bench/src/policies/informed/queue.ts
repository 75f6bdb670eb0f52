import { type KnownService, replicaOf } from '../../profile-table.ts';
import type { SimulatedRequest, SimulatedWorker, World } from '../../simulator/policy.ts';
import type { InTransit } from './transit.ts';

/** What a request would find at a worker. */
export interface Ahead {
  /** Batches that run before the one that it joins, without the one that runs now. */
  readonly batches: readonly KnownService[];
  /** Inputs of the batch that it joins, itself included. */
  readonly batch: number;
}

/**
 * What would run before a request at a worker: all that waits there or is on its way, in batches as large as the profile
 * goes. Requests of the same variant fill up batches, and the last of these is the request's own.
 *
 * The worker serves by deadline, so a request with an early one would wait less. It is counted behind all others, so that
 * what was promised to these holds: whoever comes later and goes first finds room for everybody within its own time.
 */
export function aheadOf(
  worker: SimulatedWorker,
  request: SimulatedRequest,
  variant: string,
  inTransit: readonly InTransit[],
  world: World,
): Ahead {
  let same = 0;
  const others = new Map<string, { readonly task: string; readonly variant: string; count: number }>();
  const count = (task: string, its: string) => {
    if (task === request.task && its === variant) {
      same += 1;
      return;
    }
    const key = replicaOf(task, its);
    const group = others.get(key);
    if (group === undefined) others.set(key, { task, variant: its, count: 1 });
    else group.count += 1;
  };
  for (let position = 0; position < worker.queue.length; position += 1) {
    const waiting = worker.queue[position];
    if (waiting !== undefined) count(waiting.task, worker.variantAt(position));
  }
  for (const sent of inTransit) count(sent.task, sent.variant);
  const batches: KnownService[] = [];
  for (const { task, variant: its, count: waiting } of others.values()) {
    addBatches(batches, task, its, waiting, worker, world);
  }
  const most = Math.max(1, world.maxBatch(request.task, variant, worker.deviceClass));
  const full = Math.floor(same / most);
  addBatches(batches, request.task, variant, full * most, worker, world);
  return { batches, batch: (same % most) + 1 };
}

function addBatches(
  batches: KnownService[],
  task: string,
  variant: string,
  count: number,
  { deviceClass }: SimulatedWorker,
  world: World,
): void {
  const most = Math.max(1, world.maxBatch(task, variant, deviceClass));
  for (let left = count; left > 0; left -= most) {
    const service = world.service(task, variant, deviceClass, Math.min(left, most));
    if (service !== undefined) batches.push(service);
  }
}
