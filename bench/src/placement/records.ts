import type { Capacity } from './capacity.ts';
import type { CapacityJob, DayJob, FleetJob, OptimumJob, PlaceJob } from './design.ts';

/** What is kept of a policy's run. */
export interface Figures {
  readonly attainment: number;
  /** On-time answers a second. */
  readonly goodputPerSecond: number;
  /** Workers as provisioned, egress, requests and energy. */
  readonly costUsd: number;
  /** The same with the workers' busy time: what is judged on a fixed fleet. */
  readonly marginalUsd: number;
  readonly accuracy: number;
  readonly browserShare: number;
}

export interface CapacityRecord {
  readonly job: CapacityJob;
  readonly capacity: Capacity;
}

/** Every policy on one point, on the same fleet, with the same requests and the same noise. */
export interface PlaceRecord {
  readonly job: PlaceJob;
  readonly requests: number;
  readonly policies: Readonly<Record<string, Figures>>;
  /** What any schedule with as many on time as the mesh has has to pay at least. */
  readonly boundUsd: number;
}

/** What the best schedules of one who knows everything reach, from few on time to the most. */
export interface OptimumRecord {
  readonly job: OptimumJob;
  readonly requests: number;
  readonly curve: readonly { readonly onTime: number; readonly marginalUsd: number }[];
}

/** The smallest static fleet of a policy, and what it does there. */
export interface SizedFleet {
  readonly counts: Readonly<Record<string, number>>;
  readonly figures: Figures;
  /** The highest load at which it still has 99 % on time, as a multiple of the one that it is sized for. */
  readonly sustained: number;
}

/** A baseline on its smallest static fleet, and the mesh on that very fleet. */
export interface FleetComparison {
  readonly baseline: SizedFleet;
  readonly mesh: Omit<SizedFleet, 'counts'>;
}

export interface FleetRecord {
  readonly job: FleetJob;
  readonly requests: number;
  /** The mesh on its own smallest static fleet; absent where no fleet reaches 99 %. */
  readonly mesh?: Omit<SizedFleet, 'sustained'>;
  /** By policy; absent where no fleet of the policy reaches 99 %. */
  readonly baselines: Readonly<Record<string, FleetComparison>>;
}

export interface DayRecord {
  readonly job: DayJob;
  readonly requests: number;
  readonly figures: Figures;
}

/** What came of a job: a line of the results file. */
export type JobRecord = CapacityRecord | OptimumRecord | PlaceRecord | FleetRecord | DayRecord;
