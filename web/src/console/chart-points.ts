import { isUnknown } from './accuracy-cells.ts';
import type { VariantItem } from './variant-rows.ts';

/** What goes to the right in the chart. */
export type Axis = 'latency' | 'cost';

/** A variant in the chart. */
export interface ChartPoint {
  readonly variant: string;
  /** Median milliseconds or US dollars of a thousand requests, whichever the axis is; at least 0. */
  readonly x: number;
  /** Accuracy, 0 to 1, with its 95 % interval where it was measured. */
  readonly accuracy: number;
  readonly interval: { readonly low: number; readonly high: number } | undefined;
  readonly isCascade: boolean;
  readonly dominatedBy: string | undefined;
}

/** The variants that have both figures on a device class; of several tiers with such a device the cheapest counts. */
export function chartPoints(items: readonly VariantItem[], deviceClass: string, axis: Axis): ChartPoint[] {
  return items.flatMap(({ variant, line }) => {
    const cell = line?.cells.find((entry) => entry.deviceClass === deviceClass);
    if (cell === undefined || isUnknown(variant.accuracy)) return [];
    const x = axis === 'latency' ? cell.p50Ms : Math.min(...cell.costs.map(({ usdPer1000 }) => usdPer1000));
    if (!Number.isFinite(x)) return [];
    return [
      {
        variant: variant.variant,
        x,
        accuracy: variant.accuracy.value,
        interval: variant.accuracy.interval,
        isCascade: variant.format === 'cascade',
        dominatedBy: cell.dominatedBy,
      },
    ];
  });
}

/** The points than which none is both further left and higher, from left to right. */
export function frontier(points: readonly ChartPoint[]): ChartPoint[] {
  const sorted = points.toSorted((a, b) => a.x - b.x || b.accuracy - a.accuracy);
  let best = Number.NEGATIVE_INFINITY;
  return sorted.filter(({ accuracy }) => {
    const isBetter = accuracy > best;
    best = Math.max(best, accuracy);
    return isBetter;
  });
}

/** A range of values on an axis, and the values that are written beside it. */
export interface Scale {
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly number[];
}

/** Room beside the outermost values, as a factor of them. */
const MARGIN = 1.35;

/**
 * A logarithmic scale around the values above 0; undefined when there are none. Ticks are at 1, 2 and 5 of each power of
 * ten, or at the powers alone where that is enough.
 */
export function logScale(values: readonly number[]): Scale | undefined {
  const positive = values.filter((value) => value > 0);
  if (positive.length === 0) return undefined;
  const low = Math.min(...positive) / MARGIN;
  const high = Math.max(...positive) * MARGIN;
  const ticksOf = (steps: readonly number[]) => {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      ticks.push(...steps.map((step) => Number((step * 10 ** power).toPrecision(1))));
    }
    return ticks.filter((tick) => tick >= low && tick <= high);
  };
  const powers = ticksOf([1]);
  if (powers.length >= 3) return { low, high, ticks: powers };
  const some = ticksOf([1, 2, 5]);
  return { low, high, ticks: some.length >= 2 ? some : ticksOf([1, 2, 3, 4, 5, 6, 7, 8, 9]) };
}

/** A linear scale around shares from 0 to 1, with two to six ticks at round percentages. */
export function shareScale(values: readonly number[]): Scale {
  const lowest = Math.min(...values);
  const highest = Math.max(...values);
  const margin = Math.max((highest - lowest) * 0.12, 0.002);
  const low = Math.max(0, lowest - margin);
  const high = Math.min(1, highest + margin);
  const steps = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
  const step = steps.find((candidate) => (high - low) / candidate <= 5) ?? 0.5;
  const ticks: number[] = [];
  for (let index = Math.ceil(low / step); index * step <= high; index += 1) {
    ticks.push(Number((index * step).toFixed(6)));
  }
  return { low, high, ticks };
}
