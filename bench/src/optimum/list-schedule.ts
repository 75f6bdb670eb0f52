import type { Profile } from '../profile-table.ts';
import { batchMs, type Instance, type InstanceClass, type InstanceRequest, mayServe } from './known-run.ts';

/** A batch of a schedule, or what a caller's device does alone. */
export interface Served {
  readonly requests: number;
  readonly usd: number;
}

interface Worker {
  readonly spec: InstanceClass;
  readonly profiles: readonly Profile[];
  freeMs: number;
}

/**
 * How a batch is formed: `patient` waits for later arrivals as long as all are on time, `eager` does not wait; `sparing` does not
 * either, but passes over urgent requests that would keep a batch small, as Nexus's early drop does under overload.
 */
export type Patience = 'patient' | 'eager' | 'sparing';

/**
 * A schedule that can be carried out, found by a list rule that knows every arrival and every batch's time: what a caller's
 * device can do in time it does; the rest goes, earliest due first, to the worker that is free first, in the batch of the least
 * busy cost per request. Returns its batches; requests that none serves are dropped.
 */
export function listSchedule(instance: Instance, patience: Patience): Served[] {
  const served: Served[] = [];
  const rest = withoutPrivate(instance.requests, served).sort((a, b) => a.releaseMs - b.releaseMs);
  const workers = instance.classes.flatMap((spec) =>
    Array.from(
      { length: spec.count },
      (): Worker => ({ spec, profiles: placed(spec), freeMs: Number.NEGATIVE_INFINITY }),
    ),
  );
  let next = 0;
  let waiting: InstanceRequest[] = [];
  while (next < rest.length || waiting.length > 0) {
    const [worker] = workers.toSorted((a, b) => a.freeMs - b.freeMs);
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
    served.push({ requests: members.size, usd: batch.usd });
  }
  return served;
}

interface Batch {
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
          best = { members: [...members], startMs, timeMs, usd };
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

/** Books what callers' devices do in time, in the order of arrival; returns the requests that are left. */
export function withoutPrivate(requests: readonly InstanceRequest[], served: Served[]): InstanceRequest[] {
  const devices = new Map<number, { freeMs: number; readonly readyMs: Map<string, number> }>();
  return requests.filter((request) => {
    const { arrivalMs, deadlineMs, caller, task, privateWays } = request;
    let device = devices.get(caller);
    for (const [variant, way] of privateWays.entries()) {
      device ??= { freeMs: 0, readyMs: new Map() };
      devices.set(caller, device);
      const key = `${task} ${variant}`;
      if (!device.readyMs.has(key)) {
        // Fetched at the first request, so that the later ones find it there.
        device.readyMs.set(key, arrivalMs + way.readyMs);
        if (way.downloadUsd > 0) served.push({ requests: 0, usd: way.downloadUsd });
      }
      const endMs = Math.max(arrivalMs, device.freeMs, device.readyMs.get(key) ?? 0) + way.timeMs;
      if (endMs > deadlineMs) continue;
      device.freeMs = endMs;
      served.push({ requests: 1, usd: way.energyUsd });
      return false;
    }
    return true;
  });
}

/** The variants that a worker holds: as many as there is room for, the cheapest per request first. */
export function placed({ profiles, memoryBytes }: InstanceClass): Profile[] {
  let roomBytes = memoryBytes;
  const perRequest = (profile: Profile) => profile.service(profile.maxBatch).meanMs / profile.maxBatch;
  return profiles
    .toSorted((a, b) => perRequest(a) - perRequest(b))
    .filter((profile) => {
      if (profile.memoryBytes > roomBytes) return false;
      roomBytes -= profile.memoryBytes;
      return true;
    });
}
