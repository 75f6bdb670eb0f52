import type { ProfileBook, TokenBuckets } from '@nearfar/core';
import type { Claims, TokenGate } from './auth.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { Catalog } from './catalog.ts';
import type { DecisionLog } from './decisions.ts';
import type { Fleet } from './fleet.ts';
import type { Metrics } from './metrics.ts';
import type { CoordinatorOptions } from './options.ts';

/** What the steps and the routes share. */
export interface Context {
  readonly options: CoordinatorOptions;
  readonly catalog: Catalog;
  readonly fleet: Fleet;
  /** What workers measured. */
  readonly book: ProfileBook;
  /** What pages say that they measured: never mixed with the workers', whose classes have the same names. */
  readonly pageBook: ProfileBook;
  readonly decisions: DecisionLog;
  readonly metrics: Metrics;
  readonly gate: TokenGate;
  readonly rates: TokenBuckets;
  readonly bodies: ByteBudget;
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
