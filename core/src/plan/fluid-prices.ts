import { pageRate } from './program.ts';
import { indicesBy, type RouteMap } from './routes.ts';

const ROUNDS = 120;
/** The first step, as a share of what a busy millisecond is worth; steps fall with the square root of the round. */
const FIRST_STEP = 0.5;

/**
 * Prices of a busy millisecond by class, in picodollars, found without a solver: each round every demand goes where it is
 * cheapest at the present prices, then prices rise where more came than the class has time for and fall elsewhere. That is
 * the subgradient method on the Lagrangian of the classes' time (Shor 1985; Held, Wolfe & Crowder 1974), whose mean over the
 * last rounds comes close to the duals of the relaxation. Workers, loads and memory may be fractions here.
 *
 * A class that can grow has the price of growing at least, up to its most workers.
 */
export function fluidPrices(map: RouteMap): Float64Array {
  const { input, places, routes, pages, workerMs, horizonSeconds } = map;
  const { classes, demands } = input;
  const capacity = classes.map(({ max }, index) => max * (workerMs[index] ?? 0));
  const growing = classes.map(({ min, max, workerPicoUsdPerMs, startupMs, workers }, index) => {
    if (min === max) return 0;
    const startRate = workers < max ? (workerPicoUsdPerMs * startupMs) / horizonSeconds / 2 : 0;
    return (workerPicoUsdPerMs * 1_000 + startRate) / (workerMs[index] ?? 1);
  });
  const costs = Float64Array.from(routes, ({ place, costPicoUsd, busyMs }) => {
    const { holdRate = 0, loadRate = 0, replicaMs = 1, on } = places[place] ?? {};
    const openRate = holdRate + (on !== undefined && on.loaded > 0 ? 0 : loadRate);
    return costPicoUsd + (openRate * busyMs) / replicaMs;
  });
  const routesOf = indicesBy(routes, demands.length, ({ demand }) => demand);
  const pagesOf = indicesBy(pages, demands.length, ({ demand }) => demand);
  const scale = typicalRate(map, costs, growing);

  const prices = new Float64Array(classes.length);
  const mean = new Float64Array(classes.length);
  const load = new Float64Array(classes.length);
  for (let round = 1; round <= ROUNDS; round += 1) {
    load.fill(0);
    for (const [demand, { requestsPerSecond, missPicoUsd }] of demands.entries()) {
      let least = missPicoUsd;
      let chosen = -1;
      for (const index of routesOf[demand] ?? []) {
        const route = routes[index];
        if (route === undefined) continue;
        const classIndex = places[route.place]?.classIndex ?? 0;
        const price = (growing[classIndex] ?? 0) + (prices[classIndex] ?? 0);
        const cost = (costs[index] ?? 0) + price * route.busyMs;
        if (cost < least) {
          least = cost;
          chosen = index;
        }
      }
      const route = routes[chosen];
      if (route === undefined) continue;
      let rate = requestsPerSecond;
      for (const index of pagesOf[demand] ?? []) {
        const page = pages[index];
        if (page !== undefined && page.costPicoUsd < least) rate -= pageRate(map, demand, page.group);
      }
      const classIndex = places[route.place]?.classIndex ?? 0;
      load[classIndex] = (load[classIndex] ?? 0) + Math.max(0, rate) * route.busyMs;
    }
    const step = (FIRST_STEP * scale) / Math.sqrt(round);
    for (const [index, full] of capacity.entries()) {
      const excess = full > 0 ? Math.min(1, ((load[index] ?? 0) - full) / full) : 0;
      prices[index] = Math.max(0, (prices[index] ?? 0) + step * excess);
      if (round > ROUNDS / 2) mean[index] = (mean[index] ?? 0) + (prices[index] ?? 0) / (ROUNDS / 2);
    }
  }
  return mean.map((price, index) => price + (growing[index] ?? 0));
}

/** What a busy millisecond typically costs: the measure of the steps. */
function typicalRate({ routes, places }: RouteMap, costs: Float64Array, growing: readonly number[]): number {
  const rates = routes.map(
    ({ busyMs, place }, index) =>
      Math.max(0, costs[index] ?? 0) / busyMs + (growing[places[place]?.classIndex ?? 0] ?? 0),
  );
  rates.sort((a, b) => a - b);
  return rates[rates.length >> 1] ?? 0;
}
