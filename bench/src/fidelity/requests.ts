import type { Tier } from '@nearfar/protocol';

/** A request that is to be made. */
export interface PlannedRequest {
  /** Milliseconds from the start of the schedule. */
  readonly arrivalMs: number;
  /** Whether the user of the page makes it; else a caller over plain HTTP. */
  readonly isOfPage: boolean;
}

/** A request that has ended, live or in the simulator. */
export interface EndedRequest extends PlannedRequest {
  /** As `arrivalMs`, but when it really was made. */
  readonly sentMs: number;
  /** Until it was answered, or until it failed, on its caller's clock. */
  readonly latencyMs: number;
  /** Where it was answered; undefined = nowhere. */
  readonly tier: Tier | undefined;
  readonly isOnTime: boolean;
  /** What its run kept a worker busy for; undefined where nobody told. */
  readonly serviceMs?: number;
  /** What it waited at its worker, the way to the worker's thread and back included; undefined where nobody told. */
  readonly queueMs?: number;
}

/** What the requests of the benchmark ask for. */
export interface Demands {
  readonly task: string;
  /** 0 to 1. */
  readonly minAccuracy: number;
  /** Pictures in one request. */
  readonly rows: number;
  /** Probability with which an answer is to be on time, 0 to 1. */
  readonly sloTarget: number;
  /** Deadlines of callers over plain HTTP and of the page's user. */
  readonly sloMs: number;
  readonly pageSloMs: number;
}
