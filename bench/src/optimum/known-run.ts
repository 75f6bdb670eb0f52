import { PICO_USD_PER_USD, picoUsdPerMs } from '@nearfar/core';
import { type Profile, ProfileTable } from '../profile-table.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { callerFacts, createWorkload, isEscalated, type Workload } from '../scenario/workload.ts';
import { BYTES_PER_GB, MS_PER_HOUR } from '../units.ts';

/** What a caller's own device needs for a request; the device runs one at a time, in the order of arrival. */
export interface PrivateWay {
  readonly variant: string;
  readonly timeMs: number;
  readonly energyUsd: number;
  /** Of a first use by this caller; 0 where the weights are there. */
  readonly downloadUsd: number;
  /** From the decision to fetch until the device can run; 0 where it can at once. */
  readonly readyMs: number;
}

/** A request of which all is known, its noise included. */
export interface InstanceRequest {
  readonly task: string;
  readonly caller: number;
  readonly arrivalMs: number;
  /** Absolute: when the caller needs the answer. */
  readonly deadlineMs: number;
  /** When it can be at a worker at the earliest. */
  readonly releaseMs: number;
  /** When a worker has to be done. */
  readonly dueMs: number;
  readonly minAccuracy: number;
  /**
   * Variants that will do although they are less accurate: of a cascade that is accurate enough the small stage where it is
   * sure, which who knows everything knows, else the large one. Absent = none.
   */
  readonly stages?: readonly string[];
  /** Batches that it may be part of: 2 where a small stage may run before the one that ends it (default 1). */
  readonly mostBatches?: 1 | 2;
  /** Its share of a batch's noise, a standard normal score. */
  readonly score: number;
  /** Request price and egress of an answer from a worker. */
  readonly remoteUsd: number;
  readonly privateWays: readonly PrivateWay[];
}

/** Workers that are all alike. */
export interface InstanceClass {
  readonly count: number;
  readonly usdPerMs: number;
  /** What each may run; a bound reads this as "all at once", a schedule keeps to `memoryBytes`. */
  readonly profiles: readonly Profile[];
  readonly memoryBytes: number;
}

/** What is to be scheduled. Loads before the start are free, as in the simulator. */
export interface Instance {
  /** In the order of arrival. */
  readonly requests: readonly InstanceRequest[];
  readonly classes: readonly InstanceClass[];
  /** What the workers cost that are there in any case; 0 where only busy time counts. */
  readonly provisionedUsd: number;
}

/** The instance of a scenario: the very arrivals, callers and noise that the simulator draws. Elastic classes count at `max`. */
export function instanceOf(scenario: Scenario, workload: Workload = createWorkload(scenario)): Instance {
  const { network, browsers, egressUsdPerGb, requestUsdPerMillion } = scenario;
  const profiles = new ProfileTable(scenario.profiles);
  const requests = Array.from({ length: workload.requests }, (_, index): InstanceRequest => {
    const task = at(scenario.tasks, workload.taskIndex[index]);
    const caller = workload.caller[index] ?? 0;
    const { rttMs, deviceClass, isCached } = callerFacts(scenario, caller);
    const arrivalMs = workload.arrivalMs[index] ?? 0;
    const deadlineMs = workload.deadlineMs[index] ?? 0;
    const score = workload.score[index] ?? 0;
    const own = deviceClass === undefined ? [] : profiles.ofClass(task.task, deviceClass);
    const { minAccuracy, cascades } = task;
    const allowed = cascades?.filter(({ accuracy }) => accuracy >= minAccuracy);
    const escalating = allowed?.filter((cascade) => isEscalated(scenario.seed, index, cascade)) ?? [];
    const stages = allowed?.map((cascade) => (escalating.includes(cascade) ? cascade.large : cascade.small));
    const demands = { task: task.task, minAccuracy, ...(stages !== undefined && { stages }) };
    return {
      ...demands,
      ...(escalating.length > 0 && { mostBatches: 2 }),
      caller,
      arrivalMs,
      deadlineMs,
      releaseMs: arrivalMs + rttMs / 2 + task.payloadBytes / network.bytesPerMs,
      dueMs: deadlineMs - rttMs / 2 - task.answerBytes / network.bytesPerMs,
      score,
      remoteUsd: requestUsdPerMillion / 1e6 + (task.answerBytes * egressUsdPerGb) / BYTES_PER_GB,
      privateWays: own
        .filter((profile) => mayServe(profile, demands))
        .map((profile) => {
          const timeMs = profile.timeMs(1, score);
          return {
            variant: profile.variant,
            timeMs,
            energyUsd: (timeMs * browsers.energyUsdPerHour) / MS_PER_HOUR,
            downloadUsd: isCached ? 0 : (profile.weightBytes * egressUsdPerGb) / BYTES_PER_GB,
            readyMs: profile.loadMs + (isCached ? 0 : rttMs + profile.weightBytes / network.bytesPerMs),
          };
        }),
    };
  });
  const tasks = scenario.tasks.map(({ task }) => task);
  return {
    requests,
    classes: scenario.fleet.map(({ deviceClass, max, usdPerHour, memoryBytes }) => ({
      count: max,
      usdPerMs: picoUsdPerMs(usdPerHour) / PICO_USD_PER_USD,
      profiles: tasks.flatMap((task) => profiles.ofClass(task, deviceClass)),
      memoryBytes,
    })),
    provisionedUsd: scenario.fleet.reduce(
      (sum, { min, usdPerHour }) => sum + (min * usdPerHour * scenario.durationMs) / MS_PER_HOUR,
      0,
    ),
  };
}

/** Milliseconds that a batch of these takes, exactly. */
export function batchMs(profile: Profile, members: readonly InstanceRequest[]): number {
  let score = 0;
  for (const member of members) score += member.score;
  return profile.timeMs(members.length, score / Math.sqrt(members.length));
}

/** Whether a profile may serve a request at all. */
export function mayServe(
  { task, variant, accuracy }: Profile,
  request: Pick<InstanceRequest, 'task' | 'minAccuracy' | 'stages'>,
): boolean {
  if (task !== request.task) return false;
  return accuracy >= request.minAccuracy || request.stages?.includes(variant) === true;
}

function at<Entry>(entries: readonly Entry[], index: number | undefined): Entry {
  const entry = entries[index ?? -1];
  if (entry === undefined) throw new RangeError(`Expected an entry ${index}`);
  return entry;
}
