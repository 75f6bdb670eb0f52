import type { EscalationBook, HedgeBudget, LeaseLedger, ProfileBook, TokenBuckets } from '@nearfar/core';
import type { Claims, TokenGate } from './auth.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { Calibrations } from './calibrations.ts';
import type { Catalog } from './catalog.ts';
import type { DecisionLog } from './decisions.ts';
import type { DominanceIndex } from './dominated.ts';
import type { Fleet } from './fleet.ts';
import type { FleetIndex } from './fleet-index.ts';
import type { Metrics } from './metrics.ts';
import type { CoordinatorOptions } from './options.ts';
import type { Planner } from './planner.ts';
import type { Registrations } from './registrations.ts';
import type { Rollouts } from './rollout/rollouts.ts';
import type { ShadowLog } from './rollout/shadow-log.ts';
import type { Usage } from './rollout/usage.ts';
import type { ShadowPrices } from './shadow-prices.ts';

/** What the steps and the routes share. */
export interface Context {
  readonly options: CoordinatorOptions;
  readonly catalog: Catalog;
  readonly fleet: Fleet;
  /** The fleet as decisions see it. */
  readonly places: FleetIndex;
  readonly rollouts: Rollouts;
  readonly usage: Usage;
  readonly registrations: Registrations;
  readonly shadows: ShadowLog;
  /** What workers measured. */
  readonly book: ProfileBook;
  /** What pages say that they measured: never mixed with the workers', whose classes have the same names. */
  readonly pageBook: ProfileBook;
  /** Variants that are not worth choosing in workers, and in pages. */
  readonly dominance: DominanceIndex;
  readonly pageDominance: DominanceIndex;
  /** How predicted latencies are corrected by what came of such placements. */
  readonly calibrations: Calibrations;
  /** How often cascades need their large stage, by caller. */
  readonly escalations: EscalationBook;
  /** What leases were granted of the workers' time. */
  readonly leases: LeaseLedger;
  /** Prices of scarce capacity, for what is decided here and in pages. */
  readonly shadowPrices: ShadowPrices;
  /** The slow loop. */
  readonly planner: Planner;
  readonly decisions: DecisionLog;
  readonly metrics: Metrics;
  /** How many requests may be executed a second time. */
  readonly hedges: HedgeBudget;
  readonly gate: TokenGate;
  readonly rates: TokenBuckets;
  readonly bodies: ByteBudget;
  /** Aborts when the mesh is shutting down. */
  readonly closing: AbortSignal;
  /** Lets a promise run on by itself; its failure is logged, and closing waits for it. */
  readonly background: (what: string, work: Promise<unknown>) => void;
}

/** What the app keeps with each HTTP request. */
export interface AppEnvironment {
  Variables: {
    /** When the request's head arrived, on the monotonic clock. */
    arrivedAt: number;
    claims: Claims;
  };
}
