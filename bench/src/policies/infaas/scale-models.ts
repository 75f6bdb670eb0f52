import { type Engine, fittedMs } from './engines.ts';

/*
 * INFaaS's Model-Autoscaler: `checkModvar`, `checkFastest` and `InfaasScaler` of autoscaler.cc, every second, for one variant
 * at a time. A CPU worker can get a second replica of the variant (here on another CPU worker) or hand over to a GPU; a GPU
 * worker can change to an engine with a larger or smaller batch.
 */

/** [C: loadHeuristic]: the longer a load takes, the earlier it is begun; per millisecond of load. */
const LOAD_HEURISTIC = 0.0002;
/** [C: cpuHueristic]: spare part of a CPU's capacity. */
const CPU_SPARE = 0.05;
/** [C]: the fastest engine is taken when replicating costs more than this many times its load. */
const UPGRADE_RATIO = 1.5;
/** [C]: votes that have to be exceeded before a variant shrinks; one vote a second. */
const SCALE_DOWN_VOTES = { gpu: 20, cpu: 10 } as const;

/** How much a variant needs on a worker. */
export interface ScaleNeed {
  /** Replicas to add; −1 = one vote to shrink. */
  readonly count: number;
  /** Requests a second above capacity, with the part for loading. */
  readonly excessPerSecond: number;
}

/** What one replica serves a second, by the fitted line at the engine's largest batch. */
export function throughputPerSecond({ fit, maxBatch }: Pick<Engine, 'fit' | 'maxBatch'>): number {
  return (maxBatch * 1_000) / fittedMs(fit, maxBatch);
}

/** How much more of a variant is wanted on a worker that has one replica of it and gets `arrivalsPerSecond`. */
export function scaleNeed(engine: Engine, arrivalsPerSecond: number, smaller?: Engine): ScaleNeed {
  const single = throughputPerSecond(engine);
  const excessPerSecond = engine.isGpu
    ? arrivalsPerSecond - single * (1 - LOAD_HEURISTIC * engine.loadMs)
    : arrivalsPerSecond - single * (1 - CPU_SPARE);
  const more = Math.ceil(excessPerSecond / single);
  if (arrivalsPerSecond > 0 && more > 0) return { count: more, excessPerSecond };
  const shrinksBelow = smaller === undefined ? 0 : throughputPerSecond(smaller);
  return { count: arrivalsPerSecond <= shrinksBelow ? -1 : 0, excessPerSecond };
}

/** Replicas with which a variant keeps below what would make it grow; undefined where none would do. */
export function replicasFor(engine: Engine, arrivalsPerSecond: number): number | undefined {
  const spare = engine.isGpu ? LOAD_HEURISTIC * engine.loadMs : CPU_SPARE;
  const perReplica = throughputPerSecond(engine) * (1 - spare);
  return perReplica > 0 ? Math.max(1, Math.ceil(arrivalsPerSecond / perReplica)) : undefined;
}

/** What to do for a variant whose CPU replicas are short of capacity. */
export type Growth =
  | { readonly kind: 'none' }
  /** Load this many further replicas on CPUs. */
  | { readonly kind: 'replicate'; readonly count: number }
  /** Load the fastest engine on a GPU. */
  | { readonly kind: 'upgrade'; readonly engine: Engine };

/** A CPU replica that is short, with how many CPU workers could still take the variant. */
export interface ShortCpu {
  readonly engine: Engine;
  readonly need: ScaleNeed;
}

/**
 * Replicate on CPUs, or change to the fastest engine: the latter when the loads of all replicas that are wanted cost more
 * than 1.5 times those of the fastest. Replicas for which there is no room count 1,000 times, so that they force the change.
 *
 * `fastest`: the fastest GPU engine of the same network, undefined where there is no GPU; `room`: CPU workers without it.
 */
export function growth(short: readonly ShortCpu[], fastest: Engine | undefined, room: number): Growth {
  const wanted = short.filter(({ need }) => need.count > 0);
  if (wanted.length === 0) return { kind: 'none' };
  const count = wanted.reduce((sum, { need }) => sum + need.count, 0);
  let cost = 0;
  let placed = 0;
  for (const { engine, need } of wanted) {
    cost += engine.loadMs * need.count;
    placed += need.count;
    if (placed > room) cost += engine.loadMs * 1_000;
  }
  const excess = wanted.reduce((sum, { need }) => sum + need.excessPerSecond, 0);
  if (fastest !== undefined) {
    const fastestCount = Math.ceil((excess + LOAD_HEURISTIC * fastest.loadMs) / throughputPerSecond(fastest));
    if (fastestCount > 0 && cost > UPGRADE_RATIO * fastest.loadMs * fastestCount) {
      return { kind: 'upgrade', engine: fastest };
    }
  }
  return room > 0 ? { kind: 'replicate', count: Math.min(count, room) } : { kind: 'none' };
}

/**
 * Votes after a second, and whether there are enough: a vote to shrink adds one, growth clears them, a second without either
 * leaves them. Once there are more than 20 (GPU) or 10 (CPU) the variant shrinks and counting begins anew [C].
 */
export function countVotes(
  votes: number,
  count: number,
  isGpu: boolean,
): { readonly votes: number; readonly shrinks: boolean } {
  if (count >= 0) return { votes: count > 0 ? 0 : votes, shrinks: false };
  const next = votes + 1;
  const shrinks = next > SCALE_DOWN_VOTES[isGpu ? 'gpu' : 'cpu'];
  return { votes: shrinks ? 0 : next, shrinks };
}
