import { type Profile, replicaOf } from '../profile-table.ts';
import { batchMs, type Instance, type InstanceClass, type InstanceRequest, mayServe } from './known-run.ts';
import { withoutPrivate } from './private-ways.ts';
import type { Served, WorkerPlace } from './schedule.ts';

/** A worker with what it holds for good. */
export interface StaffMember {
  readonly place: WorkerPlace;
  readonly spec: InstanceClass;
  readonly profiles: readonly Profile[];
}

interface Worker extends StaffMember {
  freeMs: number;
}

/**
 * How a batch is formed: `patient` waits for later arrivals as long as all are on time, `eager` does not wait; `sparing` does not
 * either, but passes over urgent requests that would keep a batch small, as Nexus's early drop does under overload.
 */
export type Patience = 'patient' | 'eager' | 'sparing';

/**
 * A schedule that can be carried out, found by a list rule that knows every arrival and every batch's time: what a caller's
 * device can do in time it does, where an answer costs at most `mostPrivateUsd` (default: any); the rest goes, earliest due first,
 * to the worker that is free first, in the batch of the least busy cost per request. Requests that none serves are left out.
 */
export function listSchedule(
  instance: Instance,
  patience: Patience,
  mostPrivateUsd?: (task: string) => number,
): Served[] {
  const served: Served[] = [];
  const rest = withoutPrivate(instance.requests, served, mostPrivateUsd).sort(
    (a, b) => a.releaseMs - b.releaseMs,
  );
  const workers = staffOf(instance).map((entry): Worker => ({ ...entry, freeMs: Number.NEGATIVE_INFINITY }));
  let next = 0;
  let waiting: InstanceRequest[] = [];
  while (next < rest.length || waiting.length > 0) {
    const worker = workers.reduce<Worker | undefined>(
      (first, other) => (first === undefined || other.freeMs < first.freeMs ? other : first),
      undefined,
    );
    if (worker === undefined) break;
    if (waiting.length === 0) worker.freeMs = Math.max(worker.freeMs, rest[next]?.releaseMs ?? worker.freeMs);
    for (
      let request = rest[next];
      request !== undefined && request.releaseMs <= worker.freeMs;
      request = rest[next]
    ) {
      waiting.push(request);
      next += 1;
    }
    waiting = waiting.filter(({ dueMs }) => dueMs > worker.freeMs).sort((a, b) => a.dueMs - b.dueMs);
    const batch = bestBatch(worker, waiting, {
      later: patience === 'patient' ? rest : [],
      next,
      isSparing: patience === 'sparing',
    });
    if (batch === undefined) {
      worker.freeMs = rest[next]?.releaseMs ?? Number.POSITIVE_INFINITY;
      if (workers.every(({ freeMs }) => freeMs === Number.POSITIVE_INFINITY)) break;
      continue;
    }
    const members = new Set(batch.members);
    waiting = waiting.filter((request) => !members.has(request));
    for (
      let request = rest[next];
      request !== undefined && request.releaseMs <= batch.startMs;
      request = rest[next]
    ) {
      if (!members.has(request)) waiting.push(request);
      next += 1;
    }
    worker.freeMs = batch.startMs + batch.timeMs;
    const { place } = worker;
    served.push({ ...batch, kind: 'batch', place, endMs: worker.freeMs, requests: members.size });
  }
  return served;
}

interface Batch {
  readonly profile: Profile;
  readonly members: readonly InstanceRequest[];
  readonly startMs: number;
  readonly timeMs: number;
  readonly usd: number;
}

function bestBatch(
  { profiles, spec, freeMs }: Worker,
  waiting: readonly InstanceRequest[],
  {
    later,
    next,
    isSparing,
  }: { readonly later: readonly InstanceRequest[]; readonly next: number; readonly isSparing: boolean },
): Batch | undefined {
  let best: Batch | undefined;
  for (const profile of profiles) {
    for (let passed = 0; passed < (isSparing ? Math.max(1, waiting.length) : 1); passed += 1) {
      const members: InstanceRequest[] = [];
      let startMs = freeMs;
      let untilMs = Number.POSITIVE_INFINITY;
      let remoteUsd = 0;
      const join = (request: InstanceRequest): boolean => {
        members.push(request);
        const timeMs = batchMs(profile, members);
        const fromMs = Math.max(startMs, request.releaseMs);
        if (fromMs + timeMs > Math.min(untilMs, request.dueMs)) {
          members.pop();
          return false;
        }
        startMs = fromMs;
        untilMs = Math.min(untilMs, request.dueMs);
        remoteUsd += request.remoteUsd;
        const usd = timeMs * spec.usdPerMs + remoteUsd;
        if (best === undefined || usd / members.length < best.usd / best.members.length) {
          best = { profile, members: [...members], startMs, timeMs, usd };
        }
        return true;
      };
      for (const request of waiting.slice(passed)) {
        if (members.length === profile.maxBatch) break;
        if (mayServe(profile, request)) join(request);
      }
      for (
        let index = next;
        index < later.length && members.length > 0 && members.length < profile.maxBatch;
        index += 1
      ) {
        const request = later[index];
        if (request === undefined || request.releaseMs >= untilMs) break;
        if (mayServe(profile, request) && !join(request)) break;
      }
      if (members.length === profile.maxBatch) break;
    }
  }
  return best;
}

/** All workers of an instance, each with the variants that it holds. */
export function staffOf({ requests, classes }: Instance): StaffMember[] {
  const floors = new Map<string, number>();
  const allowed = new Set<string>();
  for (const { task, minAccuracy, stages = [] } of requests) {
    floors.set(task, Math.min(minAccuracy, floors.get(task) ?? Number.POSITIVE_INFINITY));
    for (const variant of stages) allowed.add(replicaOf(task, variant));
  }
  return classes.flatMap((spec, classIndex) => {
    const useful = spec.profiles.filter(
      ({ task, accuracy, variant }) =>
        accuracy >= (floors.get(task) ?? Number.POSITIVE_INFINITY) || allowed.has(replicaOf(task, variant)),
    );
    return Array.from({ length: spec.count }, (_, number) => ({
      place: { classIndex, number },
      spec,
      profiles: placed(useful, spec.memoryBytes, number),
    }));
  });
}

/**
 * The variants that a worker holds: as many as there is room for, of each task the cheapest per request first, the tasks in turn;
 * the worker's number says with which task it begins, so that a class holds all that its workers have room for together.
 */
function placed(profiles: readonly Profile[], memoryBytes: number, number: number): Profile[] {
  const perRequest = (profile: Profile) => profile.service(profile.maxBatch).meanMs / profile.maxBatch;
  const byTask = [...Map.groupBy(profiles, ({ task }) => task).values()].map((own) =>
    own.toSorted((a, b) => perRequest(a) - perRequest(b)),
  );
  const turns = byTask.map((_, turn) => byTask[(number + turn) % byTask.length] ?? []);
  const most = Math.max(0, ...byTask.map(({ length }) => length));
  const held: Profile[] = [];
  let roomBytes = memoryBytes;
  for (let rank = 0; rank < most; rank += 1) {
    for (const own of turns) {
      const profile = own[rank];
      if (profile === undefined || profile.memoryBytes > roomBytes) continue;
      roomBytes -= profile.memoryBytes;
      held.push(profile);
    }
  }
  return held;
}
