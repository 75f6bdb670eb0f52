import { createUniform, normalAt, STREAMS, uniformAt } from '../random.ts';
import type { Scenario, ScenarioCascade, ScenarioTask } from './scenario.ts';

/**
 * Who asks what and when, in the order of arrival, with the noise of each request: all that chance decides in a run. It
 * follows from the scenario and its seed alone, so a simulation and a clairvoyant see the same.
 */
export interface Workload {
  readonly requests: number;
  /** By request: position in `scenario.tasks`. */
  readonly taskIndex: Uint16Array;
  readonly arrivalMs: Float64Array;
  /** Absolute. */
  readonly deadlineMs: Float64Array;
  /** By request: its caller's number, from 0. */
  readonly caller: Uint32Array;
  /** By request: its share of the noise of a batch, a standard normal score. */
  readonly score: Float64Array;
  readonly callers: number;
}

/** What chance decided about a caller. */
export interface CallerFacts {
  readonly rttMs: number;
  readonly deviceClass: string | undefined;
  readonly isCached: boolean;
}

/** Draws a scenario's workload. Arrivals of different tasks at the same moment come in the order of the tasks. */
export function createWorkload(scenario: Scenario): Workload {
  const { seed, tasks, browsers } = scenario;
  const requests = tasks.reduce((sum, { arrivals }) => sum + arrivals.length, 0);
  const taskIndex = new Uint16Array(requests);
  const arrivalMs = new Float64Array(requests);
  const deadlineMs = new Float64Array(requests);
  const caller = new Uint32Array(requests);
  const score = new Float64Array(requests);
  const chance = createUniform(seed, STREAMS.callers);
  const present = Uint32Array.from({ length: browsers.callersAtOnce }, (_, index) => index);
  let callers = present.length;
  const positions = tasks.map(() => 0);
  for (let index = 0; index < requests; index += 1) {
    const next = earliest(tasks, positions);
    const task = tasks[next];
    const position = positions[next] ?? 0;
    const arrival = task?.arrivals[position];
    if (task === undefined || arrival === undefined) throw new RangeError('Expected another arrival');
    positions[next] = position + 1;
    taskIndex[index] = next;
    arrivalMs[index] = arrival.arrivalMs;
    deadlineMs[index] = arrival.arrivalMs + (arrival.sloMs ?? task.sloMs);
    score[index] = normalAt(seed, STREAMS.service, index);
    const seat = Math.floor(chance() * present.length);
    caller[index] = present[seat] ?? 0;
    // Each request is its caller's last one with the same probability, so visits have geometric lengths.
    if (chance() * browsers.requestsPerCaller < 1) {
      present[seat] = callers;
      callers += 1;
    }
  }
  return { requests, taskIndex, arrivalMs, deadlineMs, caller, score, callers };
}

/** What a caller has: round trip and device class by the scenario's shares. */
export function callerFacts({ seed, network, browsers }: Scenario, caller: number): CallerFacts {
  const rtt = pick(network.rtts, uniformAt(seed, STREAMS.rtt, caller)) ?? network.rtts.at(-1);
  const device = pick(browsers.deviceClasses, uniformAt(seed, STREAMS.device, caller));
  return {
    rttMs: rtt?.rttMs ?? 0,
    deviceClass: device?.deviceClass,
    isCached: device !== undefined && uniformAt(seed, STREAMS.cached, caller) < browsers.cachedShare,
  };
}

/**
 * Whether a cascade's small stage is not sure of a request. Of two cascades of a task the one that escalates more does so for
 * all that the other one does: hard inputs are hard for both.
 */
export function isEscalated(
  seed: number,
  request: number,
  { escalationRate }: Pick<ScenarioCascade, 'escalationRate'>,
): boolean {
  return uniformAt(seed, STREAMS.escalation, request) < escalationRate;
}

/** Undefined where the roll lies beyond the sum of the shares. */
function pick<Entry extends { readonly share: number }>(
  entries: readonly Entry[],
  roll: number,
): Entry | undefined {
  let left = roll;
  for (const entry of entries) {
    if (left < entry.share) return entry;
    left -= entry.share;
  }
  return undefined;
}

function earliest(tasks: readonly ScenarioTask[], positions: readonly number[]): number {
  let best = -1;
  let bestMs = Number.POSITIVE_INFINITY;
  for (let index = 0; index < tasks.length; index += 1) {
    const arrival = tasks[index]?.arrivals[positions[index] ?? 0];
    if (arrival !== undefined && arrival.arrivalMs < bestMs) {
      best = index;
      bestMs = arrival.arrivalMs;
    }
  }
  return best;
}
