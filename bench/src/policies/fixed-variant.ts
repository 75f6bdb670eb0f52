import type { Profile, ProfileTable } from '../profile-table.ts';
import type { Scenario, ScenarioTask } from '../scenario/scenario.ts';
import type { SimulatedRequest, SimulatedWorker, World } from '../simulator/policy.ts';

/*
 * What serving systems without model selection share: a person chose one variant for each task beforehand, and its
 * replicas stay where they are. Used by `clipper` and `tfserving`.
 */

/** Part of the SLO that the 99 % quantile of one input may take, so that as much again is left for waiting (Nexus, SOSP'19). */
export const FIXED_VARIANT_SHARE_OF_SLO = 0.5;

/** The variant that serves a task, and the device classes on which it is quick enough. */
export interface FixedVariant {
  readonly task: ScenarioTask;
  readonly variant: string;
  /** Not empty. */
  readonly deviceClasses: ReadonlySet<string>;
}

/**
 * The variant a careful person would fix for a task: the one with the lowest price of an input among those that meet the
 * task's accuracy and whose 99 % quantile for one input is at most half of the SLO on a class of the fleet. The price of an
 * input is that of the largest batch that keeps to the same half. Ties go to the faster, then to the first in the profile.
 * Where none is that fast, the fastest that is accurate enough; undefined where none is.
 */
export function chooseFixedVariant(
  scenario: Scenario,
  profiles: ProfileTable,
  task: ScenarioTask,
): FixedVariant | undefined {
  const usable = scenario.fleet
    .filter(({ count, max }) => Math.max(count, max) > 0)
    .flatMap(({ deviceClass, usdPerHour }) =>
      profiles
        .ofClass(task.task, deviceClass)
        .filter(({ accuracy }) => accuracy >= task.minAccuracy)
        .map((profile) => ({ profile, ...priceOfInput(profile, usdPerHour, task.sloMs) })),
    );
  const quick = usable.filter(({ isQuick }) => isQuick);
  const [best] = (quick.length > 0 ? quick : usable).toSorted((a, b) =>
    quick.length > 0 ? a.price - b.price || a.msPerInput - b.msPerInput : a.firstMs - b.firstMs,
  );
  if (best === undefined) return undefined;
  const { variant } = best.profile;
  const same = usable.filter(({ profile }) => profile.variant === variant);
  const classes = quick.length > 0 ? same.filter(({ isQuick }) => isQuick) : same;
  return { task, variant, deviceClasses: new Set(classes.map(({ profile }) => profile.deviceClass)) };
}

/** Largest batch whose 99 % quantile is at most `limitMs`; 1 where even one input takes longer. */
export function largestBatchWithin(profile: Profile, limitMs: number): number {
  let batch = profile.maxBatch;
  while (batch > 1 && profile.service(batch).p99Ms > limitMs) batch -= 1;
  return batch;
}

/**
 * Loads the fixed variants on every worker whose class is quick enough for them. Where a worker's memory does not hold the
 * variants of all tasks, the first worker begins with the first task, the next with the second and so on, so that the tasks
 * share the fleet. Returns the replicas of each task, in the order of the workers.
 */
export function placeFixedVariants(
  world: World,
  fixed: readonly FixedVariant[],
): ReadonlyMap<string, readonly SimulatedWorker[]> {
  const replicas = new Map<string, SimulatedWorker[]>(fixed.map(({ task }) => [task.task, []]));
  for (const [index, worker] of world.workers.entries()) {
    let freeBytes =
      world.scenario.fleet.find(({ deviceClass }) => deviceClass === worker.deviceClass)?.memoryBytes ?? 0;
    for (let step = 0; step < fixed.length; step += 1) {
      const entry = fixed[(index + step) % fixed.length];
      if (entry === undefined || !entry.deviceClasses.has(worker.deviceClass)) continue;
      const { task } = entry.task;
      const bytes = world.profiles.find(task, entry.variant, worker.deviceClass)?.memoryBytes ?? 0;
      if (bytes > freeBytes) continue;
      freeBytes -= bytes;
      world.load(worker, task, entry.variant);
      replicas.get(task)?.push(worker);
    }
  }
  return replicas;
}

/** When a request reached its worker: after half of the round trip and the way of its inputs, if it was sent at once. */
export function reachedWorkerMs(
  { network }: Scenario,
  task: ScenarioTask,
  request: SimulatedRequest,
): number {
  return request.arrivalMs + request.caller.rttMs / 2 + task.payloadBytes / network.bytesPerMs;
}

/** When a worker has to be done with a request, so that the answer reaches its caller by the deadline. */
export function doneByMs({ network }: Scenario, task: ScenarioTask, request: SimulatedRequest): number {
  return request.deadlineMs - request.caller.rttMs / 2 - task.answerBytes / network.bytesPerMs;
}

function priceOfInput(profile: Profile, usdPerHour: number, sloMs: number) {
  const limitMs = sloMs * FIXED_VARIANT_SHARE_OF_SLO;
  const first = profile.service(1);
  const batch = largestBatchWithin(profile, limitMs);
  const msPerInput = profile.service(batch).meanMs / batch;
  return {
    msPerInput,
    price: msPerInput * usdPerHour,
    firstMs: first.p99Ms,
    isQuick: first.p99Ms <= limitMs,
  };
}
