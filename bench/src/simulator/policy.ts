import type { BatchPlan } from '@nearfar/core';
import type { KnownService, ProfileTable } from '../profile-table.ts';
import type { Scenario, ScenarioCascade } from '../scenario/scenario.ts';

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
  /** Whether the device could run the variant (`task/variant`) at once: weights are there and compiled. */
  has(variant: string): boolean;
  /** When the device is predicted to have run what it was given; in the past when idle. */
  readonly predictedFreeMs: number;
}

/** A worker as the world holds it. Policies read it and act through the world alone. */
export interface SimulatedWorker {
  readonly id: string;
  readonly tier: 'edge' | 'pool';
  readonly deviceClass: string;
  readonly usdPerHour: number;
  readonly queue: readonly SimulatedRequest[];
  /** The variant that a request of the queue was sent for. */
  variantAt(position: number): string;
  /** Requests that were sent to it and have not arrived yet. */
  readonly inTransit: number;
  /** Predicted milliseconds of all that waits here or is under way, as if each ran alone; 0 when there is nothing. */
  readonly backlogMs: number;
  /** When what runs now will end, as predicted by its profile's mean; in the past when idle. */
  readonly predictedFreeMs: number;
  readonly isBusy: boolean;
  /** Variants (`task/variant`) that are loaded. */
  readonly ready: ReadonlySet<string>;
  /** Variants that are being loaded, with the time at which they are ready. */
  readonly loading: ReadonlyMap<string, number>;
  readonly isDraining: boolean;
}

/** What a policy may know and do. Everything is refused with an error that is impossible in the real mesh. */
export interface World {
  readonly scenario: Scenario;
  readonly nowMs: number;
  /** Workers that have joined and not left, draining ones included. */
  readonly workers: readonly SimulatedWorker[];
  readonly profiles: ProfileTable;
  /** A number from 0 to below 1 that follows from the seed. */
  random(): number;
  /** Undefined = the class never ran the variant. */
  service(task: string, variant: string, deviceClass: string, batch: number): KnownService | undefined;
  /** Largest batch that the class has a profile for. */
  maxBatch(task: string, variant: string, deviceClass: string): number;
  /**
   * Sends a request to a worker that holds the variant or loads it; it arrives after half of the caller's round trip and
   * the way of its bytes, and runs once the variant is there. One whose first stage ran on a worker is in the mesh already,
   * and is there at once.
   *
   * @param cascade of the request's task, when the variant is its small stage: what that is not sure of, `escalated` is asked
   * for. Its large stage is then the only variant that the request may run.
   */
  dispatch(
    request: SimulatedRequest,
    worker: SimulatedWorker,
    variant: string,
    cascade?: ScenarioCascade,
  ): void;
  /**
   * Runs a request on its caller's own device, after what waits there. Where the device lacks the variant, it downloads
   * and compiles it first, and the request waits for that. Refused after a first stage on a worker, since a mesh cannot ask
   * a page.
   *
   * @param cascade as of `dispatch`.
   */
  runInBrowser(request: SimulatedRequest, variant: string, cascade?: ScenarioCascade): void;
  /** Has a caller's device download and compile a variant in the background; nothing where it has it or does so already. */
  prepare(caller: SimulatedCaller, task: string, variant: string): void;
  /** Ends a request at once without an answer. */
  refuse(request: SimulatedRequest): void;
  /** Begins to load a variant; costs load time at the worker's rate. The worker goes on serving meanwhile. */
  load(worker: SimulatedWorker, task: string, variant: string): void;
  /** Gives up a variant as soon as nothing waits for it. */
  unload(worker: SimulatedWorker, task: string, variant: string): void;
  /** Starts a worker of a class; it joins after the class's `startupMs`. Undefined at the class's `max`. */
  startWorker(deviceClass: string): SimulatedWorker | undefined;
  /** Lets a worker finish what it has and leave. Ignored at the class's `min`. */
  stopWorker(worker: SimulatedWorker): void;
  /** Calls `wake` at this time, which is not before now. */
  at(timeMs: number, wake: () => void): void;
  /** Asks an idle worker for a batch once more, after a `formBatch` that chose to wait. */
  wake(worker: SimulatedWorker): void;
}

/** What a stage of a cascade took that was not sure of its answer. */
export interface SimulatedStage {
  /** No worker = the caller's own device. */
  readonly worker: SimulatedWorker | undefined;
  readonly variant: string;
  readonly deviceClass: string;
  /** From the request's arrival until now. */
  readonly elapsedMs: number;
  readonly batchSize: number;
  readonly serviceMs: number;
}

/** How a request ended. */
export interface SimulatedOutcome {
  readonly kind: 'answered' | 'dropped' | 'refused';
  readonly tier: 'browser' | 'edge' | 'pool' | undefined;
  /** A cascade's own name where it was run as one. */
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
  /**
   * Called once before the first arrival: what is loaded here is there from the start and costs nothing, and a worker that
   * is started here has joined.
   */
  start(world: World): void;
  /** Must dispatch, run in the browser or refuse; now, or later by `world.at`. */
  arrive(request: SimulatedRequest, world: World): void;
  /**
   * Picks what an idle worker runs next, as positions in its queue; default: the batch rule of core. All that runs has one
   * task and, unless `variant` names another one that the worker holds, was sent for one variant. An empty batch waits for
   * the next arrival, load or `world.wake`.
   */
  formBatch?(worker: SimulatedWorker, world: World): BatchPlan & { readonly variant?: string };
  finished?(request: SimulatedRequest, outcome: SimulatedOutcome, world: World): void;
  /**
   * The small stage of a cascade was not sure. Must dispatch to its large stage, run that in the browser or refuse, as
   * `arrive`. Needed by policies that name cascades.
   */
  escalated?(request: SimulatedRequest, stage: SimulatedStage, world: World): void;
}

/** Makes a policy for one run of a scenario; may take its time, as a solver that has to be loaded does. */
export type PolicyFactory = (scenario: Scenario) => Policy | Promise<Policy>;
