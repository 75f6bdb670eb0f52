import type { BatchPlan } from '@nearfar/core';
import type { Scenario } from '../scenario/scenario.ts';

/** A request of a run, as a policy sees it: nothing of what its service will really take. */
export interface SimulatedRequest {
  /** Position in the order of arrival, from 0. */
  readonly index: number;
  readonly task: string;
  readonly arrivalMs: number;
  /** Absolute: arrival + SLO. */
  readonly deadlineMs: number;
  readonly minAccuracy: number;
  readonly caller: SimulatedCaller;
}

/** Who asks. Its device runs one input at a time, for nobody else. */
export interface SimulatedCaller {
  readonly index: number;
  readonly rttMs: number;
  /** Class of the caller's own device; undefined = it can run nothing. */
  readonly deviceClass: string | undefined;
  /** Whether the device has the weights of the variant already. */
  has(variant: string): boolean;
}

/** A worker as the world holds it. Policies read it and act through the world alone. */
export interface SimulatedWorker {
  readonly id: string;
  readonly tier: 'edge' | 'pool';
  readonly deviceClass: string;
  readonly usdPerHour: number;
  readonly queue: readonly SimulatedRequest[];
  /** When what runs now will end, as predicted by its profile's mean; in the past when idle. */
  readonly predictedFreeMs: number;
  readonly isBusy: boolean;
  /** Variants (`task/variant`) that are loaded. */
  readonly ready: ReadonlySet<string>;
  /** Variants that are being loaded, with the time at which they are ready. */
  readonly loading: ReadonlyMap<string, number>;
  readonly isDraining: boolean;
}

/** What a batch of a variant takes on a device class, as the profile says. */
export interface KnownService {
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
}

/** What a policy may know and do. Everything is refused with an error that is impossible in the real mesh. */
export interface World {
  readonly scenario: Scenario;
  readonly nowMs: number;
  readonly workers: readonly SimulatedWorker[];
  /** Undefined = the class never ran the variant. */
  service(task: string, variant: string, deviceClass: string, batch: number): KnownService | undefined;
  /** Largest batch that the class has a profile for. */
  maxBatch(task: string, variant: string, deviceClass: string): number;
  /** Sends a request to a worker that holds the variant; it arrives after half of the caller's round trip. */
  dispatch(request: SimulatedRequest, worker: SimulatedWorker, variant: string): void;
  /** Runs a request on its caller's own device. */
  runInBrowser(request: SimulatedRequest, variant: string): void;
  /** Ends a request at once without an answer. */
  refuse(request: SimulatedRequest): void;
  /** Takes a request that has not started back out of where it waits; false when it has started or ended. */
  withdraw(request: SimulatedRequest): boolean;
  /** Begins to load a variant; costs load time at the worker's rate. The worker goes on serving meanwhile. */
  load(worker: SimulatedWorker, task: string, variant: string): void;
  /** Gives up a variant as soon as nothing waits for it. */
  unload(worker: SimulatedWorker, task: string, variant: string): void;
  /** Starts a worker of a class; it joins after the class's `startupMs`. Undefined at the class's `max`. */
  startWorker(deviceClass: string): SimulatedWorker | undefined;
  /** Lets a worker finish what it has and leave. Ignored at the class's `min`. */
  stopWorker(worker: SimulatedWorker): void;
  /** Calls `wake` at this time. */
  at(timeMs: number, wake: () => void): void;
}

/** How a request ended. */
export interface SimulatedOutcome {
  readonly kind: 'answered' | 'dropped' | 'refused';
  readonly tier: 'browser' | 'edge' | 'pool' | undefined;
  readonly variant: string | undefined;
  readonly deviceClass: string | undefined;
  readonly latencyMs: number;
  /** Batch that answered it. */
  readonly batchSize: number;
  readonly serviceMs: number;
  readonly isOnTime: boolean;
}

/** Decides where simulated requests run. One object a run. */
export interface Policy {
  readonly name: string;
  /** Called once before the first arrival: what is loaded here is there from the start and costs nothing. */
  start(world: World): void;
  /** Must dispatch, run in the browser or refuse; now, or later by `world.at`. */
  arrive(request: SimulatedRequest, world: World): void;
  /** Picks what an idle worker runs next, as positions in its queue; default: the batch rule of core. */
  formBatch?(worker: SimulatedWorker, world: World): BatchPlan & { readonly variant?: string };
  /** Called every `planEverySeconds` of simulated time. */
  plan?(world: World): void;
  finished?(request: SimulatedRequest, outcome: SimulatedOutcome, world: World): void;
}
