import { CalibrationBook, quantileMs } from '@nearfar/core';
import { quantileLoss } from '../quantile-loss.ts';
import { createUniform, STREAMS } from '../random.ts';
import { Oracle } from './oracle.ts';
import { drawLatency, drawRequest, driftSchedule, predict } from './world.ts';

/** Levels at which the quantile loss is taken. */
const LOSS_LEVELS = [0.5, 0.9, 0.95, 0.99] as const;

/** One finished request: whether the promises held, and what they cost. */
export interface Finished {
  readonly stage: number;
  /** Requests since the last change. */
  readonly sinceChange: number;
  readonly place: string;
  readonly isFirst: boolean;
  readonly within95: boolean;
  readonly within99: boolean;
  /** P(latency ≤ the promised 95 %), by the true distribution. */
  readonly true95: number;
  /** Mean quantile loss in milliseconds over the levels, of what was promised and of the true quantiles. */
  readonly loss: number;
  readonly oracleLoss: number;
}

/**
 * Runs the schedule and gives every finished request in order, with `inFlight` of them under way: what is promised of one
 * rests on what had finished before it began.
 */
export function runDrift(
  seed: number,
  { schedule = driftSchedule(), censoredShare = 0, isCalibrated = true, inFlight = 8 } = {},
): Finished[] {
  const random = createUniform(seed, STREAMS.drift);
  const oracle = new Oracle(seed + 1);
  const book = new CalibrationBook();
  const finished: Finished[] = [];
  const underWay: (() => void)[] = [];
  for (const [number, stage] of schedule.entries()) {
    for (let index = 0; index < stage.requests; index += 1) {
      const draw = drawRequest(random);
      const { place, worker, isFirst } = draw;
      const key = { ...place, task: 'drift', revision: 1, tier: 'edge' };
      const time = predict(draw, stage);
      const promise = (quantile: number) =>
        (isCalibrated ? book.curve(key, worker) : undefined)?.quantileMs(time, quantile) ??
        quantileMs(time, quantile);
      const kept = book.promise(key);
      const promised = LOSS_LEVELS.map(promise);
      const latencyMs = drawLatency(draw, stage, random);
      const best = LOSS_LEVELS.map((level) => oracle.quantileMs(draw, stage, level));
      const lossOf = (quantiles: readonly number[]) =>
        quantiles.reduce((sum, value, at) => sum + quantileLoss(latencyMs, value, LOSS_LEVELS[at] ?? 0), 0) /
        quantiles.length;
      finished.push({
        stage: number,
        sinceChange: index,
        place: `${place.variant}@${place.deviceClass}`,
        isFirst,
        within95: latencyMs <= (promised[2] ?? 0),
        within99: latencyMs <= (promised[3] ?? 0),
        true95: oracle.probability(draw, stage, promised[2] ?? 0),
        loss: lossOf(promised),
        oracleLoss: lossOf(best),
      });
      const cutMs =
        random() < censoredShare ? time.meanMs * (0.3 + 1.7 * random()) : Number.POSITIVE_INFINITY;
      underWay.push(() =>
        book.observe(key, worker, time, Math.min(latencyMs, cutMs), latencyMs > cutMs, kept),
      );
      if (underWay.length > inFlight) underWay.shift()?.();
    }
  }
  return finished;
}
