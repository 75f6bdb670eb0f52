import type { Moments } from '@nearfar/protocol';
import {
  Calibration,
  type CalibrationCurve,
  MIN_CALIBRATION_REQUESTS,
  type Promised,
} from './calibration.ts';
import { type Shift, ShiftTracker } from './calibration-shift.ts';
import { onTimeProbability, quantileMs } from './distribution.ts';
import type { LiveCurve } from './placement/offer-list.ts';

/** What is calibrated together: one revision of a variant on one class of workers of a tier. */
export interface CalibrationKey {
  readonly task: string;
  readonly variant: string;
  readonly revision: number;
  readonly tier: string;
  readonly deviceClass: string;
}

/**
 * What a correction loses each time that it alone kept a request from a place. It takes tens of such requests to come back
 * from a quantile that wandered off, and hundreds to try a place again that had become twice as slow: fewer than one request
 * in a hundred is spent on finding out.
 */
const FADE = 1 / 500;

/** How much a book holds at most; what was not used for longest gives way. */
export interface CalibrationBookOptions {
  /** Default 4,096. */
  readonly maxKeys?: number;
  /** Default 16,384. */
  readonly maxWorkers?: number;
}

/** Observations that a worker counts as its like for: one slow request does not make a slow worker. */
const WORKER_PRIOR = 8;
/** A worker's shift is drawn to that of its like by this share, so that the two cannot drift apart unseen. */
const WORKER_LEAK = 0.02;
/** Steps of a worker's speed, as a logarithm. */
const SPEED_STEP = 0.05;
/** A speed that rests on more observations is no wider for the rest. */
const MOST_SPEED_WEIGHT = 64;

/**
 * Calibrations by what was chosen.
 *
 * A latency is corrected by the errors of its own variant on its own device class, and of nothing else: what others took
 * longer than predicted is mostly a few milliseconds that have nothing to do with their size, and as a factor they would make
 * a second of a variant that nobody has tried. On top comes a factor for each worker, over all that it runs: a throttled
 * machine shows after a handful of its requests, although each alone has too few for quantiles of its own.
 */
export class CalibrationBook {
  readonly #keys = new Map<string, Calibration>();
  readonly #workers = new Map<string, ShiftTracker>();
  readonly #maxKeys: number;
  readonly #maxWorkers: number;

  constructor({ maxKeys = 4_096, maxWorkers = 16_384 }: CalibrationBookOptions = {}) {
    this.#maxKeys = atLeastOne('maxKeys', maxKeys);
    this.#maxWorkers = atLeastOne('maxWorkers', maxWorkers);
  }

  /** Variants on device classes of which something was observed. */
  get size(): number {
    return this.#keys.size;
  }

  /**
   * The calibration of a variant on a worker as it is now; undefined while it would change nothing. It stays what it is, so
   * that a decision can be explained by what it rested on.
   */
  curve(key: CalibrationKey, worker: string): PlacementCurve | undefined {
    return this.curves(key)(worker);
  }

  /** `curve` of each worker, for whoever asks for many. */
  curves(key: CalibrationKey): (worker: string) => PlacementCurve | undefined {
    const name = nameOf(key);
    return (worker) => {
      const calibration = this.#keys.get(name);
      return calibration && new PlacementCurve(calibration.snapshot(), this.speed(worker));
    };
  }

  /**
   * How much slower a worker is than its like, in steps of 5 %: so that many workers have the same speed, and one keeps it
   * for a while. Undefined before anything was observed of it.
   */
  speed(worker: string): Shift | undefined {
    const known = this.#workers.get(worker);
    if (known === undefined) return undefined;
    const weight = 2 ** Math.floor(Math.log2(Math.max(1, Math.min(MOST_SPEED_WEIGHT, known.weight))));
    return { shift: Math.round(known.shift / SPEED_STEP) * SPEED_STEP, weight };
  }

  /** As `curve`, of workers of one speed, and following what is observed from now on. */
  live(key: CalibrationKey, speed: Shift | undefined): LiveCurve {
    const name = nameOf(key);
    const found = () => this.#keys.get(name);
    return {
      get version() {
        return found()?.version ?? 0;
      },
      get isCautious() {
        return (found()?.samples ?? 0) < MIN_CALIBRATION_REQUESTS;
      },
      probability(time, deadlineMs) {
        return found()?.probability(time, deadlineMs, speed) ?? onTimeProbability(time, deadlineMs);
      },
      quantileMs(time, quantile) {
        return found()?.quantileMs(time, quantile, speed) ?? quantileMs(time, quantile);
      },
      meanMs(time) {
        return found()?.meanMs(time, speed) ?? time.meanMs;
      },
    };
  }

  /**
   * Takes in what came of a chosen placement.
   *
   * @param predicted what was predicted, without calibration, of all that was still to come.
   * @param actualMs what it took; with `isCensored` what it took at least.
   * @param promised what `promise` gave when it was placed.
   */
  observe(
    key: CalibrationKey,
    worker: string,
    predicted: Moments,
    actualMs: number,
    isCensored = false,
    promised?: Promised,
  ): void {
    const own = touch(this.#keys, nameOf(key), this.#maxKeys, () => new Calibration());
    const shift = touch(this.#workers, worker, this.#maxWorkers, createShift);
    const spread = own.spreadOf(predicted);
    const residual = own.observe(predicted, actualMs, isCensored, shift, promised);
    if (residual !== undefined) shift.add(residual, spread);
  }

  /**
   * Notes that a request would have gone there, had the correction not said that it would be late. A place that nobody goes
   * to is not observed, so a correction that has become too careful, by chance or by what is over by now, would stand for
   * ever. It fades instead, until one request goes there and shows.
   *
   * @param requests of which all that holds.
   */
  passedOver(key: CalibrationKey, worker: string, requests = 1): void {
    const share = 1 - (1 - FADE) ** requests;
    this.#keys.get(nameOf(key))?.fade(share);
    this.#workers.get(worker)?.fade(share);
  }

  /** What is promised of a request that is placed now, for `observe`; undefined before anything was observed. */
  promise(key: CalibrationKey): Promised | undefined {
    return this.#keys.get(nameOf(key))?.promise();
  }

  /** Forgets a revision of a variant on every device class. */
  forget({ task, variant, revision }: Pick<CalibrationKey, 'task' | 'variant' | 'revision'>): void {
    const prefix = `${task}/${variant}/${revision}@`;
    for (const name of this.#keys.keys()) if (name.startsWith(prefix)) this.#keys.delete(name);
  }
}

/** The calibration of a variant on one worker. */
export class PlacementCurve implements CalibrationCurve {
  readonly #calibration: Calibration;
  readonly #worker: Shift | undefined;

  constructor(calibration: Calibration, worker: Shift | undefined) {
    this.#calibration = calibration;
    this.#worker = worker;
  }

  probability(time: Moments, deadlineMs: number): number {
    return this.#calibration.probability(time, deadlineMs, this.#worker);
  }

  quantileMs(time: Moments, quantile: number): number {
    return this.#calibration.quantileMs(time, quantile, this.#worker);
  }

  meanMs(time: Moments): number {
    return this.#calibration.meanMs(time, this.#worker);
  }
}

/** The value of `key`, made where there is none; the one that was not touched for longest gives way. */
function touch<Value>(map: Map<string, Value>, key: string, most: number, create: () => Value): Value {
  const value = map.get(key) ?? create();
  map.delete(key);
  map.set(key, value);
  if (map.size > most) {
    const [oldest] = map.keys();
    if (oldest !== undefined) map.delete(oldest);
  }
  return value;
}

function createShift(): ShiftTracker {
  return new ShiftTracker(WORKER_PRIOR, WORKER_LEAK);
}

function nameOf({ task, variant, revision, tier, deviceClass }: CalibrationKey): string {
  return `${task}/${variant}/${revision}@${tier}:${deviceClass}`;
}

function atLeastOne(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`Expected ${name} to be an integer from 1, got ${value}`);
  return value;
}
