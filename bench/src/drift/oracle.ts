import { createUniform, STREAMS } from '../random.ts';
import { type Draw, drawLatency, type Stage } from './world.ts';

const DRAWS = 20_000;

/** Knows the distribution that a request's latency is drawn from at the moment, though not the draw. */
export class Oracle {
  readonly #tables = new Map<string, Float64Array>();
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = createUniform(seed, STREAMS.oracle);
  }

  /** The latency that a share `quantile` stays below, in milliseconds. */
  quantileMs(draw: Draw, stage: Stage, quantile: number): number {
    const table = this.#table(draw, stage);
    return table[Math.min(table.length - 1, Math.floor(quantile * table.length))] ?? 0;
  }

  /** P(latency ≤ `deadlineMs`). */
  probability(draw: Draw, stage: Stage, deadlineMs: number): number {
    const table = this.#table(draw, stage);
    let low = 0;
    let high = table.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((table[middle] ?? 0) <= deadlineMs) low = middle + 1;
      else high = middle;
    }
    return low / table.length;
  }

  #table(draw: Draw, stage: Stage): Float64Array {
    const { place, isFirst, backlogMs } = draw;
    const isOther = isFirst && stage.speedOfFirst !== 1;
    const { speed, speedOfFirst, disturbedShare } = stage;
    const key = `${place.variant}@${place.deviceClass} ${isOther ? speedOfFirst : 1} ${backlogMs} ${speed} ${disturbedShare}`;
    let table = this.#tables.get(key);
    if (table === undefined) {
      table = Float64Array.from({ length: DRAWS }, () => drawLatency(draw, stage, this.#random)).sort();
      this.#tables.set(key, table);
    }
    return table;
  }
}
