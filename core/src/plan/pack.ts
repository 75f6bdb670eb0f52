import type { Integers } from './program.ts';
import type { RouteMap } from './routes.ts';

const SLACK = 1e-9;

/**
 * The workers of one class with what each holds: memory is each worker's own, so that what fits into all of it together may
 * still fit on none of them.
 */
export class Packing {
  /** Of each worker's memory, 0 to 1. */
  readonly #free: number[];
  /** By place, the workers that hold it. */
  readonly #holders = new Map<number, Set<number>>();

  constructor(workers: number) {
    this.#free = new Array<number>(workers).fill(1);
  }

  /** Whether some worker could hold one replica more of a place. */
  fits(place: number, memoryShare: number): boolean {
    return this.#find(place, memoryShare) !== -1;
  }

  /** Puts a replica on the worker with the least room that is enough; false where there is none. */
  add(place: number, memoryShare: number): boolean {
    const worker = this.#find(place, memoryShare);
    if (worker === -1) return false;
    this.#free[worker] = (this.#free[worker] ?? 0) - memoryShare;
    const holders = this.#holders.get(place);
    if (holders === undefined) this.#holders.set(place, new Set([worker]));
    else holders.add(worker);
    return true;
  }

  addWorker(): void {
    this.#free.push(1);
  }

  #find(place: number, memoryShare: number): number {
    const holders = this.#holders.get(place);
    let best = -1;
    let leastFree = Number.POSITIVE_INFINITY;
    for (let worker = 0; worker < this.#free.length; worker += 1) {
      const free = this.#free[worker] ?? 0;
      if (free < memoryShare - SLACK || free >= leastFree || holders?.has(worker) === true) continue;
      best = worker;
      leastFree = free;
    }
    return best;
  }
}

/**
 * Packs each class's replicas onto its workers, the largest first (best fit decreasing: Johnson 1973), each place at most once
 * on a worker. Returns the packings by class, and the replicas of each place that found room.
 */
export function pack(
  { input, places }: RouteMap,
  { workers, replicas }: Integers,
): { readonly packings: readonly Packing[]; readonly replicas: number[] } {
  const packings = input.classes.map((_class, index) => new Packing(workers[index] ?? 0));
  const packed = places.map(() => 0);
  const order = places
    .map((_place, index) => index)
    .sort((a, b) => (places[b]?.memoryShare ?? 0) - (places[a]?.memoryShare ?? 0) || a - b);
  for (const index of order) {
    const { classIndex = -1, memoryShare = 0 } = places[index] ?? {};
    for (let count = 0; count < (replicas[index] ?? 0); count += 1) {
      if (packings[classIndex]?.add(index, memoryShare) !== true) break;
      packed[index] = (packed[index] ?? 0) + 1;
    }
  }
  return { packings, replicas: packed };
}

/** The whole numbers without the replicas that no worker has room for. */
export function packable(map: RouteMap, { workers, replicas }: Integers): Integers {
  return { workers, replicas: pack(map, { workers, replicas }).replicas };
}
