import { type Packing, pack } from './pack.ts';
import type { Integers } from './program.ts';
import { pageRate } from './program.ts';
import { indicesBy, type RouteMap } from './routes.ts';

/** A plan in numbers: the whole ones and the rates of everything. */
export interface Filled {
  readonly integers: Integers;
  /** Requests a second, by route, page route and demand. */
  readonly routeRates: Float64Array;
  readonly pageRates: Float64Array;
  readonly unservedRates: Float64Array;
}

/** What to start from. */
export interface FillSeed {
  /** Price of a busy millisecond by class, in picodollars, besides what it costs: what others would give for it. */
  readonly prices: ArrayLike<number>;
  /** What is there whatever the demand; replicas that no worker has room for are left out. */
  readonly integers: Integers;
}

/**
 * What is opened for one demand is used by others that come after it: of a replica this share of the price is taken by what
 * all demand could use of it, of a worker by its whole time, and the rest by what the demand itself uses. Chosen by trial on
 * the instances of the plan benchmark; 0.3 to 0.9 differ by a percent or two.
 */
const SHARED_REPLICA = 0.5;
const SHARED_WORKER = 0.8;

/** Rates below this share of a demand are rounding errors. */
const LEAST_SHARE = 1e-9;

/**
 * Fills demand by demand, each at the least marginal cost per request: of a replica with time to spare its time, of another
 * replica its load as well, of another worker its part of the worker. The demands with most to lose come first: those whose
 * second best place is so much dearer, for each busy millisecond, than their best.
 *
 * It is the greedy plan, and what makes whole numbers of a relaxation. Takes about routes × demands' pieces, well below a
 * second for the largest plans.
 */
export function fill(map: RouteMap, seed: FillSeed): Filled {
  const state = new FillState(map, seed);
  for (const demand of state.order()) state.serve(demand);
  return state.filled();
}

/** Nothing loaded and as few workers as there may be. */
export function emptySeed({ input, places }: RouteMap): FillSeed {
  return {
    prices: input.classes.map(() => 0),
    integers: { workers: input.classes.map(({ min }) => min), replicas: places.map(() => 0) },
  };
}

/** One way to serve the next requests of a demand. */
interface Step {
  readonly kind: 'page' | 'time' | 'replica' | 'worker';
  /** Of the route or page route. */
  readonly index: number;
  readonly unitPicoUsd: number;
  readonly requestsPerSecond: number;
}

/** A request's part of what a replica costs that `used` requests a second would use now, and all demand up to `usable`. */
function openingCost(openRate: number, used: number, usable: number): number {
  return openRate * (SHARED_REPLICA / usable + (1 - SHARED_REPLICA) / used);
}

class FillState {
  readonly #map: RouteMap;
  readonly #prices: ArrayLike<number>;
  readonly #workers: number[];
  readonly #replicas: number[];
  readonly #classUsedMs: Float64Array;
  readonly #placeUsedMs: Float64Array;
  readonly #packings: readonly Packing[];
  readonly #routesOf: readonly (readonly number[])[];
  readonly #pagesOf: readonly (readonly number[])[];
  readonly #routeRates: Float64Array;
  readonly #pageRates: Float64Array;
  readonly #unserved: Float64Array;

  constructor(map: RouteMap, { prices, integers }: FillSeed) {
    this.#map = map;
    this.#prices = prices;
    this.#workers = [...integers.workers];
    const { packings, replicas } = pack(map, integers);
    this.#packings = packings;
    this.#replicas = replicas;
    const { classes, demands } = map.input;
    this.#classUsedMs = new Float64Array(classes.length);
    this.#placeUsedMs = new Float64Array(map.places.length);
    this.#routesOf = indicesBy(map.routes, demands.length, ({ demand }) => demand);
    this.#pagesOf = indicesBy(map.pages, demands.length, ({ demand }) => demand);
    this.#routeRates = new Float64Array(map.routes.length);
    this.#pageRates = new Float64Array(map.pages.length);
    this.#unserved = new Float64Array(demands.length);
  }

  /** Demands by what a busy millisecond on their best class saves them, most first. */
  order(): readonly number[] {
    const { demands } = this.#map.input;
    const regrets = demands.map(({ missPicoUsd }, demand) => {
      let best = missPicoUsd;
      let second = missPicoUsd;
      let bestClass = -1;
      let busyMs = 1;
      for (const index of this.#routesOf[demand] ?? []) {
        const route = this.#map.routes[index];
        const place = route && this.#map.places[route.place];
        if (route === undefined || place === undefined) continue;
        const cost = route.costPicoUsd + this.#price(place.classIndex) * route.busyMs;
        if (cost < best) {
          if (bestClass !== place.classIndex) second = best;
          best = cost;
          bestClass = place.classIndex;
          busyMs = route.busyMs;
        } else if (cost < second && place.classIndex !== bestClass) {
          second = cost;
        }
      }
      return (second - best) / busyMs;
    });
    return demands
      .map((_demand, index) => index)
      .sort((a, b) => (regrets[b] ?? 0) - (regrets[a] ?? 0) || a - b);
  }

  serve(demand: number): void {
    const { requestsPerSecond, missPicoUsd } = this.#map.input.demands[demand] ?? {
      requestsPerSecond: 0,
      missPicoUsd: 0,
    };
    let left = requestsPerSecond;
    while (left > LEAST_SHARE * requestsPerSecond) {
      const step = this.#cheapest(demand, left);
      if (step === undefined || step.unitPicoUsd >= missPicoUsd) break;
      this.#take(step);
      left -= step.requestsPerSecond;
    }
    this.#unserved[demand] = left > LEAST_SHARE * requestsPerSecond ? left : 0;
  }

  filled(): Filled {
    return {
      integers: { workers: this.#workers, replicas: this.#replicas },
      routeRates: this.#routeRates,
      pageRates: this.#pageRates,
      unservedRates: this.#unserved,
    };
  }

  #price(classIndex: number): number {
    return this.#prices[classIndex] ?? 0;
  }

  #cheapest(demand: number, left: number): Step | undefined {
    let best: Step | undefined;
    const least = LEAST_SHARE * left;
    for (const index of this.#pagesOf[demand] ?? []) {
      const page = this.#map.pages[index];
      if (page === undefined) continue;
      const free = pageRate(this.#map, demand, page.group) - (this.#pageRates[index] ?? 0);
      if (free <= least || (best !== undefined && page.costPicoUsd >= best.unitPicoUsd)) continue;
      best = { kind: 'page', index, unitPicoUsd: page.costPicoUsd, requestsPerSecond: Math.min(left, free) };
    }
    for (const index of this.#routesOf[demand] ?? []) {
      const step = this.#stepOn(index, left, least, best?.unitPicoUsd ?? Number.POSITIVE_INFINITY);
      if (step !== undefined && step.unitPicoUsd < (best?.unitPicoUsd ?? Number.POSITIVE_INFINITY))
        best = step;
    }
    return best;
  }

  #stepOn(index: number, left: number, least: number, below: number): Step | undefined {
    const route = this.#map.routes[index];
    const place = route && this.#map.places[route.place];
    if (route === undefined || place === undefined) return undefined;
    const { classIndex, workerClass, memoryShare } = place;
    const plain = route.costPicoUsd + this.#price(classIndex) * route.busyMs;
    if (plain >= below) return undefined;
    const workerMs = this.#map.workerMs[classIndex] ?? 0;
    const workers = this.#workers[classIndex] ?? 0;
    const replicas = this.#replicas[route.place] ?? 0;
    const classFreeMs = workers * workerMs - (this.#classUsedMs[classIndex] ?? 0);
    const placeFreeMs = replicas * workerMs - (this.#placeUsedMs[route.place] ?? 0);
    const openRate = place.holdRate + (replicas < place.on.loaded ? 0 : place.loadRate);
    const ofTime = (ms: number) => Math.min(left, ms / route.busyMs);

    const here = ofTime(Math.min(classFreeMs, placeFreeMs));
    if (here > least) return { kind: 'time', index, unitPicoUsd: plain, requestsPerSecond: here };

    const opened = ofTime(Math.min(classFreeMs, placeFreeMs + workerMs));
    if (replicas < workers && opened > least) {
      const unitPicoUsd = plain + openingCost(openRate, opened, place.replicaMs / route.busyMs);
      // Whether a worker has room is asked last, and only of what would be the cheapest.
      if (unitPicoUsd >= below) return undefined;
      if (this.#packings[classIndex]?.fits(route.place, memoryShare) === true) {
        return { kind: 'replica', index, unitPicoUsd, requestsPerSecond: opened };
      }
    }
    if (workers >= workerClass.max) return undefined;
    const added = ofTime(workerMs);
    // A new worker is shared with whoever comes next, so that each pays the part that it uses.
    const { workerPicoUsdPerMs, startupMs } = workerClass;
    const startRate =
      workers < workerClass.workers ? 0 : (workerPicoUsdPerMs * startupMs) / this.#map.horizonSeconds;
    const workerRate = (workerPicoUsdPerMs * 1_000 + startRate) / workerMs;
    // Where a class can grow, its price is what growing costs: not both.
    const usedShare = Math.min(1, (added * route.busyMs) / workerMs);
    const timeRate =
      Math.max(workerRate * (SHARED_WORKER + (1 - SHARED_WORKER) / usedShare), this.#price(classIndex)) *
      route.busyMs;
    return {
      kind: 'worker',
      index,
      unitPicoUsd:
        route.costPicoUsd + timeRate + openingCost(openRate, added, place.replicaMs / route.busyMs),
      requestsPerSecond: added,
    };
  }

  #take({ kind, index, requestsPerSecond }: Step): void {
    if (kind === 'page') {
      this.#pageRates[index] = (this.#pageRates[index] ?? 0) + requestsPerSecond;
      return;
    }
    const route = this.#map.routes[index];
    const place = route && this.#map.places[route.place];
    if (route === undefined || place === undefined) return;
    const { classIndex, memoryShare } = place;
    if (kind === 'worker') {
      this.#workers[classIndex] = (this.#workers[classIndex] ?? 0) + 1;
      this.#packings[classIndex]?.addWorker();
    }
    if (kind !== 'time') {
      this.#replicas[route.place] = (this.#replicas[route.place] ?? 0) + 1;
      this.#packings[classIndex]?.add(route.place, memoryShare);
    }
    const busyMs = requestsPerSecond * route.busyMs;
    this.#routeRates[index] = (this.#routeRates[index] ?? 0) + requestsPerSecond;
    this.#classUsedMs[classIndex] = (this.#classUsedMs[classIndex] ?? 0) + busyMs;
    this.#placeUsedMs[route.place] = (this.#placeUsedMs[route.place] ?? 0) + busyMs;
  }
}
