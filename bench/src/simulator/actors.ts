import type { Waiting } from '@nearfar/core';
import type { Profile } from '../profile-table.ts';
import type { FleetClass, Scenario, ScenarioCascade, ScenarioTask } from '../scenario/scenario.ts';
import { callerFacts } from '../scenario/workload.ts';
import type { SimulatedCaller, SimulatedRequest, SimulatedWorker } from './policy.ts';

/*
 * What the simulator knows of requests, callers and workers beyond what policies see. Only the simulator changes it.
 */

export type RequestState =
  | 'undecided'
  | 'in-transit'
  | 'waiting'
  | 'waiting-in-browser'
  | 'running'
  | 'ended';

/** A request; while it waits at a worker also an entry of that worker's batch rule. */
export class RequestActor implements SimulatedRequest, Waiting {
  readonly index: number;
  readonly taskIndex: number;
  readonly spec: ScenarioTask;
  readonly arrivalMs: number;
  readonly deadlineMs: number;
  readonly caller: CallerActor;
  readonly score: number;
  readonly size = 1;
  readonly priority = 0;
  state: RequestState = 'undecided';
  variant = '';
  /** `task/variant`. */
  replica = '';
  /** When a worker has to be done, so that the answer is there by the deadline. */
  deadlineAt = 0;
  worker: WorkerActor | undefined;
  /** What it runs as. */
  cascade: ScenarioCascade | undefined;
  /** Where its small stage ran that was not sure; undefined before. */
  escalatedAt: 'page' | 'mesh' | undefined;
  /** What it is predicted to take alone where it was sent. */
  predictedMs = 0;

  constructor(
    index: number,
    { taskIndex, spec }: { readonly taskIndex: number; readonly spec: ScenarioTask },
    { arrivalMs, deadlineMs, score }: Readonly<Record<'arrivalMs' | 'deadlineMs' | 'score', number>>,
    caller: CallerActor,
  ) {
    this.index = index;
    this.taskIndex = taskIndex;
    this.spec = spec;
    this.arrivalMs = arrivalMs;
    this.deadlineMs = deadlineMs;
    this.score = score;
    this.caller = caller;
  }

  get task(): string {
    return this.spec.task;
  }

  get minAccuracy(): number {
    return this.spec.minAccuracy;
  }
}

/** A caller with its device. */
export class CallerActor implements SimulatedCaller {
  readonly index: number;
  readonly rttMs: number;
  readonly deviceClass: string | undefined;
  readonly isCached: boolean;
  /** When each variant (`task/variant`) that the device has or fetches can run; nothing where none was fetched. */
  readonly readyMs = new Map<string, number>();
  readonly queue: RequestActor[] = [];
  isBusy = false;
  predictedFreeMs = 0;
  readonly #clock: { readonly nowMs: number };

  constructor(scenario: Scenario, index: number, clock: { readonly nowMs: number }) {
    const { rttMs, deviceClass, isCached } = callerFacts(scenario, index);
    this.index = index;
    this.rttMs = rttMs;
    this.deviceClass = deviceClass;
    this.isCached = isCached;
    this.#clock = clock;
  }

  has(variant: string): boolean {
    return (this.readyMs.get(variant) ?? Number.POSITIVE_INFINITY) <= this.#clock.nowMs;
  }
}

/** A worker with its queue. */
export class WorkerActor implements SimulatedWorker {
  readonly id: string;
  readonly spec: FleetClass;
  /** Its provisioned time is paid for from here. */
  readonly startedMs: number;
  readonly queue: RequestActor[] = [];
  readonly ready = new Set<string>();
  readonly loading = new Map<string, number>();
  /** Each variant (`task/variant`) that it holds or loads. */
  readonly held = new Map<string, Profile>();
  /** Requests that were sent here for each variant and have not ended. */
  readonly pending = new Map<string, number>();
  /** What it runs; empty when idle. */
  runningReplica = '';
  /** Variants that leave as soon as nothing waits for them. */
  readonly leaving = new Set<string>();
  inTransit = 0;
  backlogMs = 0;
  hasJoined = false;
  hasLeft = false;
  isBusy = false;
  isDraining = false;
  predictedFreeMs = 0;
  /** When what is being loaded will be there; loads happen one after another. */
  loadsUntilMs = 0;

  constructor(id: string, spec: FleetClass, startedMs: number) {
    this.id = id;
    this.spec = spec;
    this.startedMs = startedMs;
  }

  get tier(): 'edge' | 'pool' {
    return this.spec.tier;
  }

  get deviceClass(): string {
    return this.spec.deviceClass;
  }

  get usdPerHour(): number {
    return this.spec.usdPerHour;
  }

  get memoryBytes(): number {
    let sum = 0;
    for (const { memoryBytes } of this.held.values()) sum += memoryBytes;
    return sum;
  }

  /** Counts a request for a variant in (1) or out (−1). */
  count(replica: string, change: 1 | -1): void {
    this.pending.set(replica, (this.pending.get(replica) ?? 0) + change);
  }

  variantAt(position: number): string {
    const request = this.queue[position];
    if (request === undefined) throw new RangeError(`Expected ${position} to be a position in the queue`);
    return request.variant;
  }
}
