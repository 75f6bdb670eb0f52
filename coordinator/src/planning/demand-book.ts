import { Forecaster, type RegisteredTask, type RequestSpec } from '@nearfar/core';

/** Requests that ask for the same, as far as a plan can tell. */
export interface DemandStream {
  readonly key: string;
  readonly task: string;
  /** The tightest deadline of its class, in milliseconds. */
  readonly sloMs: number;
  readonly sloTarget: number;
  readonly minAccuracy: number;
  readonly model: string | undefined;
  /** A variant that is pinned; of a pinned cascade, one of its stages. */
  readonly variant: string | undefined;
  readonly tiers: readonly ('edge' | 'pool')[];
  readonly prefersAccuracy: boolean;
}

/** A stream with what is to be expected of it. */
export interface ForecastStream extends DemandStream {
  /** An upper quantile: capacity that is planned for the mean is too little half of the time. */
  readonly requestsPerSecond: number;
}

/**
 * Streams that are kept; when there are more, the one that was idle longest gives way, of equally idle ones that of which the
 * fewest inputs came lately: a caller who asks for something else each time drives nobody out.
 */
export const MAX_STREAMS = 512;
/** A stream without requests for so long is forgotten: an hour of the default interval. */
const FORGET_AFTER_INTERVALS = 720;
/** What is left of a forecast after an idle stream's counts have decayed counts as none: a request in 20 minutes. */
const LEAST_PER_SECOND = 1 / 1_200;
/** Intervals ahead that are planned for: the plan holds until the next one, and a load takes about as long. */
const HORIZON_INTERVALS = 2;
const PLANNED_QUANTILE = 0.9;

/** Deadlines are put into classes of these, each by the tightest; a tighter one is a class of its own. */
const DEADLINES_MS = [60_000, 20_000, 10_000, 5_000, 2_000, 1_000, 500, 300, 200, 100, 50, 20, 10];

interface Kept {
  readonly stream: DemandStream;
  readonly forecaster: Forecaster;
  count: number;
  /** In the interval before. */
  countBefore: number;
  idleIntervals: number;
}

/** Counts admitted requests by what they ask for, and forecasts them. Counting costs a map look-up. */
export class DemandBook {
  readonly #streams = new Map<string, Kept>();

  /** Counts a request of so many inputs. What has to stay in the page never needs a worker. */
  count(task: RegisteredTask, spec: RequestSpec, rows: number): void {
    if (spec.privacy === 'local_only') return;
    const { variant } = spec;
    const cascade =
      variant === undefined ? undefined : task.variants.find((entry) => entry.variant === variant)?.cascade;
    if (cascade === undefined) {
      this.#count(task, spec, variant, rows);
    } else {
      for (const stage of [cascade.small, cascade.large]) this.#count(task, spec, stage, rows);
    }
  }

  /**
   * Ends an interval, and gives every stream with its forecast.
   *
   * @param intervalSeconds that are forecast.
   * @param elapsedSeconds since the last time, if that was longer or shorter.
   */
  tick(intervalSeconds: number, elapsedSeconds = intervalSeconds): ForecastStream[] {
    const forecasts: ForecastStream[] = [];
    for (const [key, kept] of this.#streams) {
      if (elapsedSeconds > 0) kept.forecaster.observe((kept.count * intervalSeconds) / elapsedSeconds);
      kept.idleIntervals = kept.count > 0 ? 0 : kept.idleIntervals + 1;
      kept.countBefore = kept.count;
      kept.count = 0;
      if (kept.idleIntervals > FORGET_AFTER_INTERVALS) {
        this.#streams.delete(key);
        continue;
      }
      // The spread of an idle stream is that of its past; without requests to come there is none to plan for.
      const { mean } = kept.forecaster.at(HORIZON_INTERVALS);
      const isOver = mean / intervalSeconds < LEAST_PER_SECOND;
      const upper = isOver ? 0 : kept.forecaster.quantile(HORIZON_INTERVALS, PLANNED_QUANTILE);
      forecasts.push({ ...kept.stream, requestsPerSecond: upper / intervalSeconds });
    }
    return forecasts;
  }

  #count(task: RegisteredTask, spec: RequestSpec, variant: string | undefined, rows: number): void {
    const sloMs = DEADLINES_MS.find((deadline) => deadline <= spec.sloMs) ?? spec.sloMs;
    const key = `${task.task}|${sloMs}|${spec.sloTarget}|${spec.minAccuracy}|${spec.model}|${variant}|${spec.privacy}|${spec.prefer}`;
    const known = this.#streams.get(key);
    if (known !== undefined) {
      known.count += rows;
      return;
    }
    if (this.#streams.size >= MAX_STREAMS) this.#giveWay();
    this.#streams.set(key, {
      stream: {
        key,
        task: task.task,
        sloMs,
        sloTarget: spec.sloTarget,
        minAccuracy: spec.minAccuracy,
        model: spec.model,
        variant,
        tiers: spec.privacy === 'no_pool' ? ['edge'] : ['edge', 'pool'],
        prefersAccuracy: spec.prefer === 'accuracy',
      },
      forecaster: new Forecaster(),
      count: rows,
      countBefore: 0,
      idleIntervals: 0,
    });
  }

  #giveWay(): void {
    let least: Kept | undefined;
    for (const kept of this.#streams.values()) if (least === undefined || isLess(kept, least)) least = kept;
    if (least !== undefined) this.#streams.delete(least.stream.key);
  }
}

function isLess(a: Kept, b: Kept): boolean {
  if (a.idleIntervals !== b.idleIntervals) return a.idleIntervals > b.idleIntervals;
  return a.count + a.countBefore < b.count + b.countBefore;
}
