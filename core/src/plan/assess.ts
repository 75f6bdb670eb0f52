import type { Filled } from './fill.ts';
import { pack } from './pack.ts';
import type { ClassPlan, Flow, Plan, PlanPrice } from './plan.ts';
import type { Integers } from './program.ts';
import type { RouteMap } from './routes.ts';

/** Time that is left over by rounding counts as none. */
const LEAST_MS = 1e-6;

/** What a plan costs, in picodollars a second: flows, misses, workers, starts, replicas and loads. */
export function costOf(map: RouteMap, filled: Filled): number {
  const { input, places, routes, pages, horizonSeconds } = map;
  let total = 0;
  for (const [index, rate] of filled.routeRates.entries()) total += rate * (routes[index]?.costPicoUsd ?? 0);
  for (const [index, rate] of filled.pageRates.entries()) total += rate * (pages[index]?.costPicoUsd ?? 0);
  for (const [index, rate] of filled.unservedRates.entries()) {
    total += rate * (input.demands[index]?.missPicoUsd ?? 0);
  }
  for (const [index, count] of filled.integers.workers.entries()) {
    const { workerPicoUsdPerMs = 0, startupMs = 0, workers = 0 } = input.classes[index] ?? {};
    total += workerPicoUsdPerMs * 1_000 * count;
    total += (workerPicoUsdPerMs * startupMs * Math.max(0, count - workers)) / horizonSeconds;
  }
  for (const [index, count] of filled.integers.replicas.entries()) {
    const place = places[index];
    if (place === undefined) continue;
    total += place.holdRate * count + place.loadRate * Math.max(0, count - place.on.loaded);
  }
  return total;
}

/** The fewest workers and replicas that still carry a plan's flows: what it has beyond them only costs. */
export function trimmed(map: RouteMap, filled: Filled): Filled {
  const { input, places, routes, workerMs } = map;
  const placeMs = new Float64Array(places.length);
  const classMs = new Float64Array(input.classes.length);
  for (const [index, rate] of filled.routeRates.entries()) {
    const route = routes[index];
    const place = route && places[route.place];
    if (route === undefined || place === undefined) continue;
    placeMs[route.place] = (placeMs[route.place] ?? 0) + rate * route.busyMs;
    classMs[place.classIndex] = (classMs[place.classIndex] ?? 0) + rate * route.busyMs;
  }
  const needed = (ms: number, each: number) => (ms <= LEAST_MS ? 0 : Math.ceil(ms / each - LEAST_MS));
  const replicas = places.map(({ classIndex }, index) =>
    Math.min(filled.integers.replicas[index] ?? 0, needed(placeMs[index] ?? 0, workerMs[classIndex] ?? 1)),
  );
  const memory = new Float64Array(input.classes.length);
  const most = new Float64Array(input.classes.length);
  for (const [index, { classIndex, memoryShare }] of places.entries()) {
    const count = replicas[index] ?? 0;
    memory[classIndex] = (memory[classIndex] ?? 0) + count * memoryShare;
    most[classIndex] = Math.max(most[classIndex] ?? 0, count);
  }
  const workers = input.classes.map(({ min }, index) => {
    const ofMemory = needed(memory[index] ?? 0, 1);
    const ofTime = needed(classMs[index] ?? 0, workerMs[index] ?? 1);
    const least = Math.max(min, most[index] ?? 0, ofMemory, ofTime);
    return Math.min(filled.integers.workers[index] ?? 0, least);
  });
  return {
    ...filled,
    integers: { workers: roomy(map, workers, replicas, filled.integers.workers), replicas },
  };
}

/** As many workers of each class as have room for all replicas, from `least` on and up to those that had. */
function roomy(
  map: RouteMap,
  least: readonly number[],
  replicas: readonly number[],
  most: readonly number[],
): number[] {
  const workers = [...least];
  for (;;) {
    const packed = pack(map, { workers, replicas }).replicas;
    const short = new Set(
      map.places.flatMap(({ classIndex }, index) =>
        (packed[index] ?? 0) < (replicas[index] ?? 0) ? [classIndex] : [],
      ),
    );
    let isChanged = false;
    for (const index of short) {
      if ((workers[index] ?? 0) >= (most[index] ?? 0)) continue;
      workers[index] = (workers[index] ?? 0) + 1;
      isChanged = true;
    }
    if (!isChanged) return workers;
  }
}

/**
 * Prices by class of a plan that no solver priced: where a class is full, the most that any demand would save with one more
 * busy millisecond of it, against the dearest way in which it is served now; 0 where there is time to spare.
 */
export function greedyPrices(map: RouteMap, filled: Filled): Float64Array {
  const { input, places, routes, pages, workerMs } = map;
  const dearest = new Float64Array(input.demands.length).fill(Number.NEGATIVE_INFINITY);
  const classMs = new Float64Array(input.classes.length);
  const raise = (demand: number, cost: number) => {
    dearest[demand] = Math.max(dearest[demand] ?? cost, cost);
  };
  for (const [index, rate] of filled.routeRates.entries()) {
    const route = routes[index];
    const place = route && places[route.place];
    if (route === undefined || place === undefined || rate <= 0) continue;
    classMs[place.classIndex] = (classMs[place.classIndex] ?? 0) + rate * route.busyMs;
    raise(route.demand, route.costPicoUsd);
  }
  for (const [index, rate] of filled.pageRates.entries()) {
    const page = pages[index];
    if (page !== undefined && rate > 0) raise(page.demand, page.costPicoUsd);
  }
  for (const [index, rate] of filled.unservedRates.entries()) {
    if (rate > 0) raise(index, input.demands[index]?.missPicoUsd ?? 0);
  }
  const prices = new Float64Array(input.classes.length);
  for (const { demand, place, busyMs, costPicoUsd } of routes) {
    const classIndex = places[place]?.classIndex ?? 0;
    const free = (filled.integers.workers[classIndex] ?? 0) * (workerMs[classIndex] ?? 0);
    if (free - (classMs[classIndex] ?? 0) > LEAST_MS * free + LEAST_MS) continue;
    const saving = ((dearest[demand] ?? 0) - costPicoUsd) / busyMs;
    if (saving > (prices[classIndex] ?? 0)) prices[classIndex] = saving;
  }
  return prices;
}

/** What a plan is besides its numbers. */
export interface PlanFacts {
  readonly epoch: number;
  /** By class. */
  readonly prices: ArrayLike<number>;
  readonly boundPicoUsdPerSecond: number;
  readonly source: Plan['source'];
}

/** A plan in words. */
export function describePlan(map: RouteMap, filled: Filled, facts: PlanFacts): Plan {
  const { epoch, prices, boundPicoUsdPerSecond, source } = facts;
  return {
    epoch,
    placements: placementsOf(map, filled.integers),
    prices: { epoch, prices: pricesOf(map, filled, prices) },
    flows: flowsOf(map, filled),
    unservedPerSecond: filled.unservedRates.reduce((sum, rate) => sum + rate, 0),
    objectivePicoUsdPerSecond: costOf(map, filled),
    boundPicoUsdPerSecond,
    source,
  };
}

function placementsOf({ input, places }: RouteMap, { workers, replicas }: Integers): ClassPlan[] {
  return input.classes.map(({ id }, classIndex) => ({
    workerClass: id,
    wantedWorkers: workers[classIndex] ?? 0,
    replicas: places.flatMap(({ classIndex: own, variant }, index) => {
      const count = replicas[index] ?? 0;
      if (own !== classIndex || count === 0) return [];
      return [{ task: variant.task, variant: variant.variant, replicas: count }];
    }),
  }));
}

/** Prices by tier and device class; where several classes share both, their mean by the time that they have. */
function pricesOf(
  { input, workerMs }: RouteMap,
  { integers }: Filled,
  prices: ArrayLike<number>,
): PlanPrice[] {
  const sums = new Map<string, { tier: 'edge' | 'pool'; deviceClass: string; price: number; ms: number }>();
  for (const [index, { tier, deviceClass }] of input.classes.entries()) {
    const key = `${tier}/${deviceClass}`;
    const sum = sums.get(key) ?? { tier, deviceClass, price: 0, ms: 0 };
    const ms = (integers.workers[index] ?? 0) * (workerMs[index] ?? 0);
    sum.price += ms * (prices[index] ?? 0);
    sum.ms += ms;
    sums.set(key, sum);
  }
  return [...sums.values()].flatMap(({ tier, deviceClass, price, ms }) =>
    price > 0 ? [{ tier, deviceClass, picoUsdPerMs: price / ms }] : [],
  );
}

function flowsOf({ input, places, routes, pages }: RouteMap, filled: Filled): Flow[] {
  const flows: Flow[] = [];
  for (const [index, requestsPerSecond] of filled.routeRates.entries()) {
    const route = routes[index];
    const place = route && places[route.place];
    const demand = route && input.demands[route.demand];
    if (route === undefined || place === undefined || demand === undefined || requestsPerSecond <= 0)
      continue;
    const { workerClass, variant } = place;
    flows.push({
      demand: demand.id,
      variant: variant.variant,
      place: { tier: workerClass.tier, id: workerClass.id },
      batch: route.batch,
      requestsPerSecond,
    });
  }
  for (const [index, requestsPerSecond] of filled.pageRates.entries()) {
    const page = pages[index];
    const demand = page && input.demands[page.demand];
    if (page === undefined || demand === undefined || requestsPerSecond <= 0) continue;
    const id = demand.pages[page.group]?.deviceClass ?? '';
    flows.push({
      demand: demand.id,
      variant: page.variant,
      place: { tier: 'browser', id },
      batch: 1,
      requestsPerSecond,
    });
  }
  return flows;
}
