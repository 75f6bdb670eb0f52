import type { Moments } from '@nearfar/protocol';
import { onTimeProbability, sumMoments } from '../distribution.ts';
import type { Demand, Placeable, PlanInput, PlanVariant, WorkerClass } from './plan.ts';

/** A demand on a place: which share of a worker's time one request takes there and what it costs. */
export interface Route {
  /** Index of the demand. */
  readonly demand: number;
  /** Index of the place. */
  readonly place: number;
  readonly batch: number;
  /** Of one request: its part of the batch's time. */
  readonly busyMs: number;
  /** Cost of one request without what its worker and its load cost; below 0 where accuracy is worth more. */
  readonly costPicoUsd: number;
}

/** A variant on a class of workers, as the planner counts it. */
export interface PlannedPlace {
  readonly variant: PlanVariant;
  readonly workerClass: WorkerClass;
  /** Index of the class. */
  readonly classIndex: number;
  readonly on: Placeable;
  /** Of a worker's memory, 0 to 1. */
  readonly memoryShare: number;
  /** Of having it loaded once more, spread over the horizon; picodollars a second. */
  readonly loadRate: number;
  /** Of keeping it: its memory's part of what the worker costs, or a sliver; picodollars a second. */
  readonly holdRate: number;
  /** Busy milliseconds a second that one replica can use: what all demand would need, or the worker's time. */
  readonly replicaMs: number;
}

/** A page's option for a demand. */
export interface PageRoute {
  readonly demand: number;
  /** Index of the group in the demand. */
  readonly group: number;
  readonly variant: string;
  readonly costPicoUsd: number;
}

/** All ways in which demand can be served. */
export interface RouteMap {
  readonly input: PlanInput;
  readonly places: readonly PlannedPlace[];
  /** By demand, then by place. */
  readonly routes: readonly Route[];
  readonly pages: readonly PageRoute[];
  /** Busy milliseconds a second of one worker, by class. */
  readonly workerMs: readonly number[];
  readonly horizonSeconds: number;
}

const DEFAULT_HORIZON_SECONDS = 60;
const DEFAULT_UTILISATION = 0.8;
const DEFAULT_LOAD_PICO_USD_PER_MS = 1_000;

/**
 * Keeping a variant costs at least this share of loading it: enough that a plan does not hold what nothing needs, too
 * little to unload what may be needed again.
 */
const LEAST_HOLD_SHARE = 0.01;

/**
 * Finds the ways in which each demand can be served.
 *
 * A variant on a class of workers serves a demand when it is accurate enough and some batch keeps the deadline. Of the
 * batches that do, only the one with the least time for each request is a route: all of them use the same worker's time, so
 * that no other can be part of a cheapest plan. A variant that another one of its task could take the place of on a class,
 * for every demand and without being dearer in anything, is left out there as well.
 */
export function findRoutes(input: PlanInput): RouteMap {
  const { demands, classes, variants, rule = {} } = input;
  const horizonSeconds = rule.horizonSeconds ?? DEFAULT_HORIZON_SECONDS;
  const utilisation = rule.targetUtilisation ?? DEFAULT_UTILISATION;
  const leastLoad = rule.leastLoadPicoUsdPerMs ?? DEFAULT_LOAD_PICO_USD_PER_MS;
  checkRule(horizonSeconds, utilisation, leastLoad);
  checkInput(input);
  const workerMs = classes.map(({ slots }) => 1_000 * slots * utilisation);
  const demandsOfTask = new Map<string, (readonly [number, Demand])[]>();
  for (const [index, demand] of demands.entries()) {
    if (demand.requestsPerSecond <= 0) continue;
    const ofTask = demandsOfTask.get(demand.task) ?? [];
    demandsOfTask.set(demand.task, ofTask);
    ofTask.push([index, demand]);
  }
  const classIndices = new Map(classes.map(({ id }, index) => [id, index]));

  const offers: Offer[] = [];
  for (const variant of variants) {
    for (const on of variant.on) {
      const classIndex = classIndices.get(on.workerClass);
      const workerClass = classIndex === undefined ? undefined : classes[classIndex];
      if (classIndex === undefined || workerClass === undefined || workerClass.max === 0) continue;
      const memoryShare = on.memoryBytes / workerClass.memoryBytes;
      if (!(memoryShare <= 1)) continue;
      const price = Math.max(leastLoad, workerClass.busyPicoUsdPerMs, workerClass.workerPicoUsdPerMs);
      const loadRate = (on.loadMs * price) / horizonSeconds;
      const rent = memoryShare * workerClass.workerPicoUsdPerMs * 1_000;
      const holdRate = LEAST_HOLD_SHARE * Math.max(loadRate, rent);
      const place = { variant, workerClass, classIndex, on, memoryShare, loadRate, holdRate };
      const routes = routesOf(place, demandsOfTask.get(variant.task) ?? []);
      if (routes.length > 0) offers.push({ place, routes });
    }
  }

  const places: PlannedPlace[] = [];
  const routes: Route[] = [];
  for (const offer of worthwhile(offers)) {
    const { place } = offer;
    const totalMs = offer.routes.reduce(
      (sum, { demand, busyMs }) => sum + busyMs * (demands[demand]?.requestsPerSecond ?? 0),
      0,
    );
    for (const route of offer.routes) routes.push({ ...route, place: places.length });
    places.push({ ...place, replicaMs: Math.min(workerMs[place.classIndex] ?? 0, totalMs) });
  }
  routes.sort((a, b) => a.demand - b.demand || a.place - b.place);
  return { input, places, routes, pages: pageRoutes(demands), workerMs, horizonSeconds };
}

/** Indices of items by the group that each is in, from 0 to below `count`; of one in no such group nowhere. */
export function indicesBy<Item>(
  items: readonly Item[],
  count: number,
  groupOf: (item: Item) => number,
): readonly (readonly number[])[] {
  const groups = Array.from({ length: count }, (): number[] => []);
  for (const [index, item] of items.entries()) groups[groupOf(item)]?.push(index);
  return groups;
}

/** A place with its routes, by demand. */
interface Offer {
  readonly place: Omit<PlannedPlace, 'replicaMs'>;
  readonly routes: readonly Omit<Route, 'place'>[];
}

function routesOf(place: Offer['place'], demands: readonly (readonly [number, Demand])[]): Offer['routes'] {
  return demands.flatMap(([index, demand]) => {
    const route = routeOf(demand, index, place);
    return route === undefined ? [] : [route];
  });
}

/** The offers that no other one of the same task and class can take the place of. */
function worthwhile(offers: readonly Offer[]): readonly Offer[] {
  const groups = new Map<string, Offer[]>();
  for (const offer of offers) {
    const key = `${offer.place.classIndex}/${offer.place.variant.task}`;
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push(offer);
  }
  const left = new Set<Offer>();
  for (const group of groups.values()) {
    for (const [index, offer] of group.entries()) {
      const isReplaced = group.some(
        (other, otherIndex) =>
          otherIndex !== index && replaces(other, offer) && (otherIndex < index || !replaces(offer, other)),
      );
      if (!isReplaced) left.add(offer);
    }
  }
  return offers.filter((offer) => left.has(offer));
}

function routeOf(
  demand: Demand,
  demandIndex: number,
  { variant, workerClass, on }: Offer['place'],
): Omit<Route, 'place'> | undefined {
  if (variant.accuracy < demand.minAccuracy || !demand.tiers.includes(workerClass.tier)) return undefined;
  if (demand.variants !== undefined && !demand.variants.includes(variant.variant)) return undefined;
  const away = sumMoments([demand.network, workerClass.link]);
  let best: Omit<Route, 'place'> | undefined;
  for (const { batch, time } of on.batches) {
    const busyMs = time.meanMs / batch;
    if (best !== undefined && busyMs >= best.busyMs) continue;
    if (!keepsDeadline(demand, away, batch, time)) continue;
    const worth = (demand.accuracyPicoUsd ?? 0) * variant.accuracy;
    const costPicoUsd = busyMs * workerClass.busyPicoUsdPerMs - worth;
    best = { demand: demandIndex, batch, busyMs, costPicoUsd };
  }
  return best;
}

/**
 * Whether a request is on time often enough that arrives anywhere within the batch before its own, as Nexus has it (Shen et
 * al., SOSP 2019: twice the batch's time within the deadline), here as a distribution: its wait is spread evenly over one
 * batch's time. A batch also has to fill while the request still can wait.
 */
function keepsDeadline(demand: Demand, away: Moments, batch: number, time: Moments): boolean {
  const wait = { meanMs: time.meanMs / 2, varianceMs2: (time.meanMs * time.meanMs) / 12 };
  if (onTimeProbability(sumMoments([away, wait, time]), demand.sloMs) < demand.sloTarget) return false;
  const patienceMs = demand.sloMs - away.meanMs - time.meanMs;
  return batch <= 1 + (demand.requestsPerSecond * patienceMs) / 1_000;
}

/** Whether an offer can take another one's place in every plan without making it dearer. */
function replaces({ place: better, routes: own }: Offer, { place: worse, routes }: Offer): boolean {
  // What is loaded stays in the plan: the better one would have to be loaded in its stead, and giving it up is a choice.
  const isAsSmall =
    worse.on.loaded === 0 &&
    better.memoryShare <= worse.memoryShare &&
    better.loadRate <= worse.loadRate &&
    better.holdRate <= worse.holdRate;
  if (!isAsSmall || own.length < routes.length) return false;
  let index = 0;
  for (const route of routes) {
    while (index < own.length && (own[index]?.demand ?? 0) < route.demand) index += 1;
    const other = own[index];
    if (other?.demand !== route.demand) return false;
    if (other.busyMs > route.busyMs || other.costPicoUsd > route.costPicoUsd) return false;
  }
  return true;
}

function pageRoutes(demands: readonly Demand[]): PageRoute[] {
  const pages: PageRoute[] = [];
  for (const [index, demand] of demands.entries()) {
    for (const [group, { options, share }] of demand.pages.entries()) {
      if (share <= 0) continue;
      // A page has no capacity to ration, so of its options only the cheapest counts.
      let best: PageRoute | undefined;
      for (const { variant, accuracy, costPicoUsd: cost } of options) {
        if (accuracy < demand.minAccuracy || demand.variants?.includes(variant) === false) continue;
        const costPicoUsd = cost - (demand.accuracyPicoUsd ?? 0) * accuracy;
        if (best === undefined || costPicoUsd < best.costPicoUsd)
          best = { demand: index, group, variant, costPicoUsd };
      }
      if (best !== undefined) pages.push(best);
    }
  }
  return pages;
}

function checkRule(horizonSeconds: number, utilisation: number, leastLoad: number): void {
  if (!(horizonSeconds > 0 && horizonSeconds < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`Expected horizonSeconds to be above 0, got ${horizonSeconds}`);
  }
  if (!(utilisation > 0 && utilisation <= 1)) {
    throw new RangeError(`Expected targetUtilisation to be above 0 and up to 1, got ${utilisation}`);
  }
  if (!(leastLoad >= 0)) {
    throw new RangeError(`Expected leastLoadPicoUsdPerMs to be a number from 0, got ${leastLoad}`);
  }
}

function checkInput({ demands, classes }: PlanInput): void {
  for (const { id, requestsPerSecond, missPicoUsd } of demands) {
    if (!(requestsPerSecond >= 0 && Number.isFinite(requestsPerSecond + missPicoUsd))) {
      throw new RangeError(
        `Expected demand "${id}" to be finite and from 0, got ${requestsPerSecond} a second`,
      );
    }
  }
  for (const { id, min, max } of classes) {
    if (!(Number.isInteger(min) && Number.isInteger(max) && min >= 0 && min <= max)) {
      throw new RangeError(
        `Expected class "${id}" to have whole bounds 0 ≤ min ≤ max, got ${min} and ${max}`,
      );
    }
  }
}
