import type { Clock } from '@nearfar/core';
import type { Tensor, VariantSpec } from '@nearfar/protocol';
import type { Engine } from './engine.ts';
import { measuringInputs } from './measuring-inputs.ts';

/** Batch sizes that are measured. */
const PROFILED_BATCHES = [1, 2, 4, 8, 16] as const;
const WARM_UP_RUNS = 3;
const MEASURED_RUNS = 20;
/** Compute time that the measuring of one variant may take; each size gets at least one run. */
const MEASURE_WITHIN_MS = 1_500;
/** Once a single run takes longer than this, larger batches are left out. */
const SLOW_RUN_MS = 500;
/** While requests wait, a pause before each run lasts this many times the run before it. */
const PAUSE_FACTOR = 3;

/** The live requests of a worker, to which measuring gives way. */
export interface Traffic {
  /** Requests that wait for a slot. */
  readonly waiting: number;
}

/** What is measured, and how. */
export interface MeasureOptions {
  readonly engine: Engine;
  /** The session in the engine. */
  readonly session: string;
  readonly spec: VariantSpec;
  /** Inputs of which the first row is run. */
  readonly example: readonly Tensor[];
  readonly maxBatch: number;
  readonly traffic: Traffic;
  readonly clock: Clock;
  /** Ends the measuring with its reason. */
  readonly signal: AbortSignal;
  /** Called after each run. */
  readonly onRun: () => void;
}

/** Times of one batch size in milliseconds, at least one. */
export interface MeasuredBatch {
  readonly batch: number;
  readonly timesMs: readonly number[];
}

/**
 * Measures a session at the batch sizes of a profile, one run after another, in its own thread beside the slots. By default a
 * worker leaves one core to that. While requests wait because all slots are busy, it pauses before each run for three times
 * as long as the run before took: so it takes a quarter of one core, and about four times the 1.5 s that it takes at most
 * otherwise. It does not pause for requests that merely run: on two cores, a thread that sleeps and wakes was seen to be put
 * on the core of those that serve again and again (their p99 rose by 40 %, against 10 % beside one that goes on and on).
 */
export async function* measureReplica(options: MeasureOptions): AsyncGenerator<MeasuredBatch> {
  const { engine, session, spec, example, maxBatch, traffic, clock, signal, onRun } = options;
  const batches = PROFILED_BATCHES.filter((batch) => batch === 1 || (spec.isBatchable && batch <= maxBatch));
  let spentMs = 0;
  let lastRunMs = 0;
  for (const [position, batch] of batches.entries()) {
    const inputs = measuringInputs(spec, batch, example);
    const mayRun = (runs: number, most: number) =>
      runs < most && (runs === 0 || spentMs < (MEASURE_WITHIN_MS * (position + 1)) / batches.length);
    const run = async () => {
      if (traffic.waiting > 0) await clock.sleep(PAUSE_FACTOR * lastRunMs, signal);
      signal.throwIfAborted();
      lastRunMs = (await engine.run(session, inputs)).computeMs;
      spentMs += lastRunMs;
      onRun();
      return lastRunMs;
    };
    for (let runs = 0; mayRun(runs, WARM_UP_RUNS); runs++) await run();
    const timesMs: number[] = [];
    while (mayRun(timesMs.length, MEASURED_RUNS)) timesMs.push(await run());
    yield { batch, timesMs };
    if (Math.max(...timesMs) > SLOW_RUN_MS) return;
  }
}
