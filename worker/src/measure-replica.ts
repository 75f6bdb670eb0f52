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
/** While requests wait, a pause before each batch size lasts this many times the time that the one before took. */
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
}

/** Times of one batch size in milliseconds, at least one. */
export interface MeasuredBatch {
  readonly batch: number;
  readonly timesMs: readonly number[];
}

/**
 * Measures a session at the batch sizes of a profile, one after another, in its own thread beside the slots. By default a
 * worker leaves one core to that. While requests wait because all slots are busy, it pauses before each size for three
 * times as long as the one before took: so it takes a quarter of one core, and about four times the 1.5 s that it takes at
 * most otherwise. It does not pause for requests that merely run: on two cores, a thread that sleeps and wakes was seen to
 * be put on the core of those that serve again and again, where one that goes on and on is left on the other.
 */
export async function* measureReplica(options: MeasureOptions): AsyncGenerator<MeasuredBatch> {
  const { engine, session, spec, example, maxBatch, traffic, clock, signal } = options;
  const batches = PROFILED_BATCHES.filter((batch) => batch === 1 || (spec.isBatchable && batch <= maxBatch));
  let spentMs = 0;
  let lastMs = 0;
  for (const [position, batch] of batches.entries()) {
    if (traffic.waiting > 0) await clock.sleep(PAUSE_FACTOR * lastMs, signal);
    signal.throwIfAborted();
    const withinMs = (MEASURE_WITHIN_MS * (position + 1)) / batches.length - spentMs;
    const limits = { warmUps: WARM_UP_RUNS, runs: MEASURED_RUNS, withinMs };
    const measured = await engine.measure(session, measuringInputs(spec, batch, example), limits);
    lastMs = measured.spentMs;
    spentMs += lastMs;
    yield { batch, timesMs: measured.timesMs };
    if (Math.max(...measured.timesMs) > SLOW_RUN_MS) return;
  }
}
