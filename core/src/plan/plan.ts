import type { Moments } from '@nearfar/protocol';

/*
 * What the slow loop plans: seconds, not requests; classes of workers, not workers. Every rate of money in here is in
 * picodollars a second, so that a plan does not depend on how long it will hold, except for what is paid once (loads,
 * starts), which is spread over the horizon.
 */

/** Callers whose own device may answer a demand. */
export interface PageGroup {
  readonly deviceClass: string;
  /**
   * Share of the demand's requests, 0 to 1, whose page could answer them: the device is capable, the variant is warm, and
   * the page is neither hidden nor saving battery or data. The shares of a demand's groups add up to 1 at most: a page is
   * private capacity, which serves nobody but its own visitor.
   */
  readonly share: number;
  /** What such a page can run within the demand's deadline and accuracy. */
  readonly options: readonly PageOption[];
}

/** A variant in a page. Its time is the visitor's, so that it takes nothing from any class. */
export interface PageOption {
  readonly variant: string;
  readonly accuracy: number;
  /** Of one request: the weights' way to the page spread over its uses, and the price put on its energy. */
  readonly costPicoUsd: number;
}

/** Requests of one task that ask for the same: a class of deadlines, of accuracies and of callers. */
export interface Demand {
  /** Unique in a plan. */
  readonly id: string;
  readonly task: string;
  /** Forecast. */
  readonly requestsPerSecond: number;
  readonly sloMs: number;
  /** Share of requests that have to keep the deadline, 0 to 1. */
  readonly sloTarget: number;
  /** 0 to 1. */
  readonly minAccuracy: number;
  /** Names of the variants that may serve it: those of the model that it asks for, or a pinned one; absent = all. */
  readonly variants?: readonly string[];
  /** Whether the payload may go to the tier at all. */
  readonly tiers: readonly ('edge' | 'pool')[];
  /** From the caller to the mesh and back, transfer included. */
  readonly network: Moments;
  /** What a request costs that nobody can answer as it asks: far above every cost of answering it. */
  readonly missPicoUsd: number;
  /** What it is worth to raise a request's accuracy from 0 to 1 (default 0): above 0 where callers prefer accuracy. */
  readonly accuracyPicoUsd?: number;
  readonly pages: readonly PageGroup[];
}

/** Workers that are alike. */
export interface WorkerClass {
  /** Unique in a plan. */
  readonly id: string;
  readonly tier: 'edge' | 'pool';
  readonly deviceClass: string;
  /** Workers that are there now. */
  readonly workers: number;
  /** Bounds of how many there may be; equal where the fleet is given. */
  readonly min: number;
  readonly max: number;
  /** Of one worker, for variants; infinite where it is not known. */
  readonly memoryBytes: number;
  /** Batches that one worker runs at the same time. */
  readonly slots: number;
  /** Between mesh and worker and back. */
  readonly link: Moments;
  /** Cost of a busy millisecond; 0 where a worker is paid for by the hour: never both for the same second. */
  readonly busyPicoUsdPerMs: number;
  /** Cost of a millisecond of having a worker, whether it is busy or not; 0 where the fleet is given. */
  readonly workerPicoUsdPerMs: number;
  /** Until a new worker takes work. */
  readonly startupMs: number;
}

/** A variant on a class of workers. */
export interface Placeable {
  readonly workerClass: string;
  readonly loadMs: number;
  readonly memoryBytes: number;
  /** Workers of the class that hold it now. */
  readonly loaded: number;
  /** What batches take there, by their size. */
  readonly batches: readonly { readonly batch: number; readonly time: Moments }[];
}

/** A variant, with the classes that can run it. */
export interface PlanVariant {
  readonly task: string;
  readonly variant: string;
  /** 0 to 1. */
  readonly accuracy: number;
  readonly on: readonly Placeable[];
}

/** What a plan weighs besides demand and supply. */
export interface PlanRule {
  /** Seconds over which loads and starts are spread: about as long as demand stays what it is (default 60). */
  readonly horizonSeconds?: number;
  /** Share of a class's time that is planned for, above 0 to 1; the rest takes bursts (default 0.8). */
  readonly targetUtilisation?: number;
  /** Picodollars of a millisecond of loading where the class has no price of its own (default 1,000): loads are never free. */
  readonly leastLoadPicoUsdPerMs?: number;
}

/** Everything that a plan is made of. */
export interface PlanInput {
  readonly demands: readonly Demand[];
  readonly classes: readonly WorkerClass[];
  readonly variants: readonly PlanVariant[];
  readonly rule?: PlanRule;
}

/** What the workers of a class should hold. */
export interface ClassPlan {
  readonly workerClass: string;
  readonly wantedWorkers: number;
  /** Variants by task and name, each on how many of the workers. */
  readonly replicas: readonly {
    readonly task: string;
    readonly variant: string;
    readonly replicas: number;
  }[];
}

/** Price of a busy millisecond of a class of workers, on top of its cost. */
export interface PlanPrice {
  readonly tier: 'edge' | 'pool';
  readonly deviceClass: string;
  readonly picoUsdPerMs: number;
}

/** How a demand is served. */
export interface Flow {
  readonly demand: string;
  readonly variant: string;
  /** A worker class, or a page's device class. */
  readonly place: { readonly tier: 'browser' | 'edge' | 'pool'; readonly id: string };
  readonly batch: number;
  readonly requestsPerSecond: number;
}

/** What the slow loop found. */
export interface Plan {
  /** Grows by one with each plan. */
  readonly epoch: number;
  readonly placements: readonly ClassPlan[];
  readonly prices: { readonly epoch: number; readonly prices: readonly PlanPrice[] };
  readonly flows: readonly Flow[];
  /** Requests a second that nothing in the plan answers as they ask. */
  readonly unservedPerSecond: number;
  /** Cost with misses, loads and starts, in picodollars a second. */
  readonly objectivePicoUsdPerSecond: number;
  /** Nothing costs less than this; 0 where no solver said so. */
  readonly boundPicoUsdPerSecond: number;
  /** Who found it: the solver, or the greedy rule where there is none or where it was late. */
  readonly source: 'solver' | 'greedy';
}

/** How far a plan may be from the best one, as a share of the bound; infinite where there is no bound above 0. */
export function planGap(plan: Pick<Plan, 'objectivePicoUsdPerSecond' | 'boundPicoUsdPerSecond'>): number {
  const { objectivePicoUsdPerSecond: objective, boundPicoUsdPerSecond: bound } = plan;
  if (objective <= bound) return 0;
  return bound > 0 ? (objective - bound) / bound : Number.POSITIVE_INFINITY;
}
