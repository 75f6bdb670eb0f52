import {
  CalibrationBook,
  type Clock,
  type LiveCurve,
  type Option,
  type PlacedVariant,
  type PlacementCurve,
  type Shift,
  totalLatency,
  type WorkerPlace,
} from '@nearfar/core';
import type { VariantSpec } from '@nearfar/protocol';

/** Levels whose promises are counted for `/metrics`. */
const COUNTED_LEVELS = [0.95, 0.99] as const;

/** Promises of one level: how many were put to the test, and how many of them held. */
export interface PromiseCount {
  readonly level: number;
  readonly kept: number;
  readonly broken: number;
}

type VariantName = Pick<VariantSpec, 'task' | 'variant' | 'revision'>;

/** What came of the latencies that were predicted, and how the next ones are corrected by it. */
export class Calibrations {
  readonly #book = new CalibrationBook();
  readonly #clock: Clock;
  readonly #kept = COUNTED_LEVELS.map(() => 0);
  readonly #broken = COUNTED_LEVELS.map(() => 0);
  readonly #onWorker: (workerId: string) => void;

  /** @param onWorker called after something was learnt of a worker. */
  constructor(clock: Clock, onWorker: (workerId: string) => void = () => undefined) {
    this.#clock = clock;
    this.#onWorker = onWorker;
  }

  /**
   * The correction, at each worker of such a place, of what is predicted from here to the worker and back, the caller's own
   * network not included; undefined while there is none.
   */
  curves(
    variant: VariantName,
    { tier, deviceClass }: Pick<WorkerPlace, 'tier' | 'deviceClass'>,
  ): (workerId: string) => PlacementCurve | undefined {
    return this.#book.curves({ ...nameOf(variant), tier, deviceClass });
  }

  /** The correction at any worker of such a place and speed, which follows what is observed from now on. */
  live(variant: VariantName, { tier, deviceClass, speed }: WorkerPlace): LiveCurve {
    return this.#book.live({ ...nameOf(variant), tier, deviceClass }, speed);
  }

  /** How much slower a worker is than its like; undefined before anything was observed of it. */
  speed(workerId: string): Shift | undefined {
    return this.#book.speed(workerId);
  }

  /**
   * Runs a request that was placed by `option`, and learns from what it took. One that fails, is dropped, cancelled or
   * refused would have taken longer: that is learnt as well.
   *
   * @param option with the latency parts from here to the worker and back as they were predicted, uncorrected.
   */
  async watch<Result>(variant: VariantSpec, option: Option, run: () => Promise<Result>): Promise<Result> {
    const predicted = totalLatency(option.parts);
    const key = { ...nameOf(variant), tier: option.tier, deviceClass: option.deviceClass };
    const promised = this.#book.promise(key);
    const curve = this.#book.curve(key, option.worker);
    const limitsMs = COUNTED_LEVELS.map((level) => curve?.quantileMs(predicted, level));
    const startedAt = this.#clock.now();
    const end = (isCensored: boolean) => {
      const tookMs = this.#clock.now() - startedAt;
      this.#book.observe(key, option.worker, predicted, tookMs, isCensored, promised);
      this.#onWorker(option.worker);
      this.#count(limitsMs, tookMs, isCensored);
    };
    try {
      const result = await run();
      end(false);
      return result;
    } catch (error) {
      end(true);
      throw error;
    }
  }

  /**
   * Notes that a request of `task`, or so many, would have gone to these places, had their correction not said that it would
   * be late.
   */
  passedOver(task: string, options: readonly PlacedVariant[], requests = 1): void {
    for (const { variant, revision, tier, deviceClass, worker } of options) {
      this.#book.passedOver({ task, variant, revision, tier, deviceClass }, worker, requests);
      this.#onWorker(worker);
    }
  }

  /** Promises since the start, by level. What was cut off before its time was up has neither kept nor broken one. */
  get counts(): PromiseCount[] {
    return COUNTED_LEVELS.map((level, index) => ({
      level,
      kept: this.#kept[index] ?? 0,
      broken: this.#broken[index] ?? 0,
    }));
  }

  /** Forgets a revision of a variant. */
  forget(variant: Pick<VariantSpec, 'task' | 'variant' | 'revision'>): void {
    this.#book.forget(variant);
  }

  #count(limitsMs: readonly (number | undefined)[], tookMs: number, isCensored: boolean): void {
    for (const [index, limitMs] of limitsMs.entries()) {
      if (limitMs === undefined) continue;
      if (tookMs > limitMs) this.#broken[index] = (this.#broken[index] ?? 0) + 1;
      else if (!isCensored) this.#kept[index] = (this.#kept[index] ?? 0) + 1;
    }
  }
}

function nameOf({ task, variant, revision }: VariantName) {
  return { task, variant, revision };
}
