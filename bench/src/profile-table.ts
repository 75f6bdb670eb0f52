import type { Moments } from '@nearfar/protocol';
import type { ProfileRow } from './scenario/scenario.ts';

/** What a batch of a variant takes on a device class, as the profile says. */
export interface KnownService {
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
}

/** Normal scores of the 90 and the 99 % quantile. */
export const P90_SCORE = 1.2815515655446004;
export const P99_SCORE = 2.3263478740408408;
/** Normal scores of the quantiles that a profile has: 50, 90 and 99 %. */
const SCORES = [0, P90_SCORE, P99_SCORE] as const;
/** Beyond these scores no time is drawn: they are met once in 160 and once in 4,300 requests. */
export const LEAST_SCORE = -2.5;
export const MOST_SCORE = 3.5;

/** Steps of the sum that makes moments of a distribution. */
const MOMENT_STEPS = 400;

/** The three quantiles of a batch's time, in milliseconds. */
export type Quantiles = Readonly<Record<'p50Ms' | 'p90Ms' | 'p99Ms', number>>;

/** How a variant of a task is named: `task/variant`. */
export function replicaOf(task: string, variant: string): string {
  return `${task}/${variant}`;
}

/** What a variant takes on a device class, at each batch size up to the largest that was profiled. */
export class Profile {
  readonly task: string;
  readonly variant: string;
  readonly deviceClass: string;
  /** 0 to 1. */
  readonly accuracy: number;
  readonly loadMs: number;
  readonly memoryBytes: number;
  /** What a page downloads before it can run the variant. */
  readonly weightBytes: number;
  readonly maxBatch: number;
  readonly #known: readonly KnownService[];
  readonly #moments: readonly Moments[];

  /** `rows`: at least one, all of one task, variant and device class, of different batch sizes. */
  constructor(rows: readonly ProfileRow[]) {
    const sorted = rows.toSorted((a, b) => a.batch - b.batch);
    const [first] = sorted;
    const last = sorted.at(-1);
    if (first === undefined || last === undefined) throw new RangeError('Expected a profile to have a row');
    this.task = first.task;
    this.variant = first.variant;
    this.deviceClass = first.deviceClass;
    this.accuracy = first.accuracy;
    this.loadMs = first.loadMs;
    this.memoryBytes = first.memoryBytes;
    this.weightBytes = first.weightBytes ?? first.memoryBytes;
    this.maxBatch = last.batch;
    const measured = sorted.map((row) => ({ batch: row.batch, ...fillQuantiles(row) }));
    const quantiles = Array.from({ length: last.batch }, (_, index) => atBatch(measured, index + 1));
    this.#moments = quantiles.map(momentsOf);
    this.#known = quantiles.map((entry, index) => ({
      p50Ms: entry.p50Ms,
      p90Ms: entry.p90Ms,
      p99Ms: entry.p99Ms,
      meanMs: this.#moments[index]?.meanMs ?? 0,
    }));
  }

  /** Mean and variance of a batch of 1 to `maxBatch` inputs. */
  moments(batch: number): Moments {
    const moments = this.#moments[batch - 1];
    if (moments === undefined) throw new RangeError(`Expected 1 to ${this.maxBatch} inputs, got ${batch}`);
    return moments;
  }

  /** What is known of a batch of 1 to `maxBatch` inputs. */
  service(batch: number): KnownService {
    const known = this.#known[batch - 1];
    if (known === undefined) {
      throw new RangeError(
        `Expected a batch of ${this.task}/${this.variant} on ${this.deviceClass} to hold 1 to ${this.maxBatch} inputs, got ${batch}`,
      );
    }
    return known;
  }

  /** What a batch really takes, by its noise: a standard normal score. */
  timeMs(batch: number, score: number): number {
    return quantileAt(this.service(batch), score);
  }
}

/** Every profile of a scenario. */
export class ProfileTable {
  readonly #tasks = new Map<string, Map<string, Map<string, Profile>>>();
  readonly #all: readonly Profile[];

  constructor(rows: readonly ProfileRow[]) {
    const groups = Map.groupBy(rows, ({ task, variant, deviceClass }) =>
      JSON.stringify([task, variant, deviceClass]),
    );
    this.#all = [...groups.values()].map((group) => new Profile(group));
    for (const profile of this.#all) {
      const classes = getOrCreate(this.#tasks, profile.task);
      getOrCreate(classes, profile.deviceClass).set(profile.variant, profile);
    }
  }

  /** All of them, in the order of their first rows. */
  get all(): readonly Profile[] {
    return this.#all;
  }

  /** Undefined = the class never ran the variant. */
  find(task: string, variant: string, deviceClass: string): Profile | undefined {
    return this.#tasks.get(task)?.get(deviceClass)?.get(variant);
  }

  /** What a device class can run of a task, in the order of the rows. */
  ofClass(task: string, deviceClass: string): Profile[] {
    return [...(this.#tasks.get(task)?.get(deviceClass)?.values() ?? [])];
  }
}

/**
 * The time of a profile at a normal score: piecewise linear between the logarithms of its quantiles, below the median as
 * in the first stretch and above the 99 % quantile as in the last, with the score held to −2.5 to 3.5. So draws with normal
 * scores have exactly the profile's quantiles.
 */
export function quantileAt({ p50Ms, p90Ms, p99Ms }: Quantiles, score: number): number {
  const z = Math.max(LEAST_SCORE, Math.min(MOST_SCORE, score));
  if (p50Ms === p90Ms && p90Ms === p99Ms) return p50Ms;
  return z < SCORES[1]
    ? p50Ms * (p90Ms / p50Ms) ** (z / SCORES[1])
    : p90Ms * (p99Ms / p90Ms) ** ((z - SCORES[1]) / (SCORES[2] - SCORES[1]));
}

/**
 * A missing quantile lies on the line through the two that are there, in scores and logarithms; with one alone, all three
 * are the same.
 */
export function fillQuantiles({ p50Ms, p90Ms, p99Ms }: Partial<Quantiles>): Quantiles {
  const points = [p50Ms, p90Ms, p99Ms].flatMap((ms, index) =>
    ms === undefined ? [] : [{ score: SCORES[index] ?? 0, log: Math.log(ms), ms }],
  );
  const [low] = points;
  const high = points.at(-1);
  if (low === undefined || high === undefined) throw new RangeError('Expected at least one quantile');
  const at = (given: number | undefined, score: number) =>
    given ??
    (low === high
      ? low.ms
      : Math.exp(low.log + ((high.log - low.log) * (score - low.score)) / (high.score - low.score)));
  return { p50Ms: at(p50Ms, SCORES[0]), p90Ms: at(p90Ms, SCORES[1]), p99Ms: at(p99Ms, SCORES[2]) };
}

/** Between profiled sizes a line; below the smallest the smallest's own, since a part of a batch may cost a whole one. */
function atBatch(measured: readonly ({ readonly batch: number } & Quantiles)[], batch: number): Quantiles {
  const above = measured.find((entry) => entry.batch >= batch);
  const below = measured.findLast((entry) => entry.batch <= batch) ?? above;
  if (above === undefined || below === undefined)
    throw new RangeError(`Expected batch ${batch} to be profiled`);
  const share = above === below ? 0 : (batch - below.batch) / (above.batch - below.batch);
  const between = (a: number, b: number) => a + (b - a) * share;
  return {
    p50Ms: between(below.p50Ms, above.p50Ms),
    p90Ms: between(below.p90Ms, above.p90Ms),
    p99Ms: between(below.p99Ms, above.p99Ms),
  };
}

/** Mean and variance of `quantileAt` over standard normal scores, by the trapezoid rule from −5 to 5. */
function momentsOf(quantiles: Quantiles): Moments {
  let sum = 0;
  let squares = 0;
  let weights = 0;
  for (let step = 0; step <= MOMENT_STEPS; step += 1) {
    const score = -5 + (10 * step) / MOMENT_STEPS;
    const weight = Math.exp((-score * score) / 2);
    const ms = quantileAt(quantiles, score);
    sum += weight * ms;
    squares += weight * ms * ms;
    weights += weight;
  }
  const meanMs = sum / weights;
  return { meanMs, varianceMs2: Math.max(0, squares / weights - meanMs * meanMs) };
}

function getOrCreate<Key, Value>(map: Map<Key, Map<string, Value>>, key: Key): Map<string, Value> {
  let value = map.get(key);
  if (value === undefined) {
    value = new Map();
    map.set(key, value);
  }
  return value;
}
