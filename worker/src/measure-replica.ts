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
/** Runs that take longer together are asked for in several parts: where sessions share a thread, requests go in between. */
const PART_MS = 25;
/** While requests wait, a pause before each part lasts this many times the time that the part before took. */
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
 * worker leaves one core to that. While requests wait because all slots are busy, it pauses before each part for three times
 * as long as the part before took: so it takes a quarter of one core, and about four times the 1.5 s that it takes at most
 * otherwise. It does not pause for requests that merely run: on two cores, a thread that sleeps and wakes was seen to be put
 * on the core of those that serve again and again, where one that goes on and on is left on the other.
 */
export async function* measureReplica({
  engine,
  session,
  spec,
  example,
  maxBatch,
  traffic,
  clock,
  signal,
}: MeasureOptions): AsyncGenerator<MeasuredBatch> {
  const batches = PROFILED_BATCHES.filter((batch) => batch === 1 || (spec.isBatchable && batch <= maxBatch));
  let spentMs = 0;
  let partMs = 0;
  for (const [position, batch] of batches.entries()) {
    const inputs = measuringInputs(spec, batch, example);
    const endsAtMs = (MEASURE_WITHIN_MS * (position + 1)) / batches.length;
    const timesMs: number[] = [];
    // One run to warm up and one that counts, however long they take.
    while (timesMs.length < 2 || (timesMs.length < WARM_UP_RUNS + MEASURED_RUNS && spentMs < endsAtMs)) {
      if (traffic.waiting > 0) await clock.sleep(PAUSE_FACTOR * partMs, signal);
      signal.throwIfAborted();
      const limits = {
        runs: WARM_UP_RUNS + MEASURED_RUNS - timesMs.length,
        withinMs: Math.min(PART_MS, endsAtMs - spentMs),
      };
      const part = await engine.measure(session, inputs, limits);
      partMs = part.timesMs.reduce((sum, timeMs) => sum + timeMs, 0);
      spentMs += partMs;
      timesMs.push(...part.timesMs);
    }
    const counting = timesMs.slice(Math.min(WARM_UP_RUNS, timesMs.length - 1));
    yield { batch, timesMs: counting };
    if (Math.max(...counting) > SLOW_RUN_MS) return;
  }
}
