import { cascadeQuantileMs } from './cascade-option.ts';
import type { Decision, JudgedOption } from './decide.ts';
import type { Option } from './estimate.ts';

/** Share of placements of which each overruns the quantile of its prediction after which it is hedged: one in twenty. */
export const HEDGE_QUANTILE = 0.95;

/** Largest share of requests that are hedged, unless the mesh is told otherwise: as many as overrun `HEDGE_QUANTILE`. */
const DEFAULT_MAX_HEDGE_SHARE = 0.05;

/** A second execution that is more likely late than on time is not worth what it costs. */
const LEAST_HEDGE_CHANCE = 0.5;

/** A shorter overrun says more about timers than about the worker. */
const LEAST_HEDGE_DELAY_MS = 2;

/** Requests whose hedges may be saved up for a burst. */
const WINDOW_REQUESTS = 200;

/**
 * Milliseconds after its dispatch at which an execution has overrun its own prediction, calibrated where the option is; so
 * late that one in twenty gets there ("The Tail at Scale", Dean and Barroso, CACM 2013). Undefined when it is never hedged: a
 * cascade as a whole, or what is predicted without bounds.
 */
export function hedgeDelayMs(option: Option, quantile = HEDGE_QUANTILE): number | undefined {
  if (option.second !== undefined) return undefined;
  const delayMs = cascadeQuantileMs(option, quantile);
  return Number.isFinite(delayMs) ? Math.max(LEAST_HEDGE_DELAY_MS, delayMs) : undefined;
}

/**
 * Where a request that overran is executed once more: what was chosen among the options of the other workers, unless it is
 * more likely to be late than on time. No demand of the request but its deadline is ever broken.
 *
 * @param decision among the options as they are now, with the first execution's worker blocked.
 */
export function hedgeChoice({ choice }: Decision): JudgedOption | undefined {
  if (choice.kind === 'refused' || choice.chosen.option.second !== undefined) return undefined;
  const isWorthIt = choice.kind === 'meets-slo' || choice.chosen.onTimeProbability >= LEAST_HEDGE_CHANCE;
  return isWorthIt ? choice.chosen : undefined;
}

/**
 * How many requests may be hedged: a bucket into which each request puts the share, and from which each hedge takes one. So
 * hedges are at most that share of all requests so far, and of any run of requests at most that share of it and of 200 more.
 * It starts empty, and fills by requests instead of by time: a storm, in which everything overruns, earns nothing extra.
 */
export class HedgeBudget {
  readonly #maxShare: number;
  readonly #capacity: number;
  #tokens = 0;

  /** @param maxShare from 0 (never) to 1 (every request may be hedged). */
  constructor(maxShare = DEFAULT_MAX_HEDGE_SHARE) {
    if (!(maxShare >= 0 && maxShare <= 1)) {
      throw new RangeError(`Expected maxHedgeShare to be from 0 to 1, got ${maxShare}`);
    }
    this.#maxShare = maxShare;
    this.#capacity = Math.max(1, maxShare * WINDOW_REQUESTS);
  }

  /** Whether any request is ever hedged. */
  get isOpen(): boolean {
    return this.#maxShare > 0;
  }

  /** Whether one may be hedged now. */
  get hasToken(): boolean {
    // The sum of twenty twentieths is a little less than one.
    return this.#tokens >= 1 - 1e-9;
  }

  /** Notes a request. */
  earn(): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + this.#maxShare);
  }

  /** Takes the token of one hedge; false when there is none. */
  take(): boolean {
    if (!this.hasToken) return false;
    this.#tokens = Math.max(0, this.#tokens - 1);
    return true;
  }
}
