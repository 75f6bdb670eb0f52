import type { LinearProgram } from '../ports/solver.ts';
import { LinearProgramBuilder } from './linear-program.ts';
import { indicesBy, type RouteMap } from './routes.ts';

/** Whole numbers of a plan: how many workers of each class, and how many of them hold each place's variant. */
export interface Integers {
  /** By class. */
  readonly workers: readonly number[];
  /** By place. */
  readonly replicas: readonly number[];
}

/** Which of a plan's programs: everything a fraction, the whole numbers whole on some places alone, or given. */
export type PlanShape =
  | { readonly kind: 'relaxed' }
  | { readonly kind: 'whole'; readonly places: ReadonlySet<number> }
  | { readonly kind: 'fixed'; readonly integers: Integers };

/** A plan's program, and where in it each thing is. A column or row that it does not have is −1. */
export interface PlanProgram {
  readonly program: LinearProgram;
  /** Column of each route, page route, demand's unserved part, class's workers, place's loaded and new replicas. */
  readonly routes: Int32Array;
  readonly pages: Int32Array;
  readonly unserved: Int32Array;
  readonly workers: Int32Array;
  readonly loaded: Int32Array;
  readonly added: Int32Array;
  /** Row of each demand, class's time, place's time, class's memory. */
  readonly demandRows: Int32Array;
  readonly classRows: Int32Array;
  readonly placeRows: Int32Array;
  readonly memoryRows: Int32Array;
  /** What of the objective no column holds, in picodollars a second: what fixed workers and replicas cost. */
  readonly fixedPicoUsdPerSecond: number;
}

/** Replicas of the largest size on one worker for which a program has rows of their own. */
const MOST_ON_WORKER = 3;
/** Places below a half of a worker's memory that get a row with those beside which they have no room. */
const MOST_PAIRED = 16;
const SMALL = 1e-9;

/** The objective is in microdollars a second, so that a solver's tolerances fit it. */
export const PICO_USD_PER_UNIT = 1_000_000;

/**
 * The linear program of a plan. Where it is `fixed`, the whole numbers are given and only the flows are to be found: its
 * duals are the prices, which a program with integers would not have.
 *
 * Columns: the rate of each route; of each page route; of what nobody serves; workers and new workers of a class; loaded
 * and new replicas of a place. Rows:
 * - demand: routes + pages + unserved = rate of the demand,
 * - page group: its routes ≤ its share of the rate, as a bound of the column,
 * - time of a class: Σ busy × rate ≤ worker's time × workers,
 * - time of a place: Σ busy × rate ≤ replica's time × replicas,
 * - memory of a class: Σ share × replicas ≤ workers, and, as memory is each worker's own, of those that crowd each other out
 *   Σ replicas ≤ most on a worker × workers,
 * - new workers of a class: workers − new ≤ workers that are there.
 *
 * A replica's time is what all demand could use of it, where that is less than the worker's: one replica has to be there
 * for the smallest demand too, and so the relaxation says so as tightly as one row can.
 */
export function planProgram(map: RouteMap, shape: PlanShape): PlanProgram {
  const fixed = shape.kind === 'fixed' ? shape.integers : undefined;
  const isInteger = shape.kind === 'whole';
  const { input, places, routes, pages, workerMs, horizonSeconds } = map;
  const { demands, classes } = input;
  const builder = new LinearProgramBuilder();
  let fixedPicoUsdPerSecond = 0;

  const isOpen = (place: number) =>
    shape.kind === 'whole'
      ? shape.places.has(place)
      : fixed === undefined || (fixed.replicas[place] ?? 0) > 0;
  const routeColumns = Int32Array.from(routes, ({ place, costPicoUsd }) =>
    isOpen(place) ? builder.column(costPicoUsd / PICO_USD_PER_UNIT) : -1,
  );
  const pageColumns = Int32Array.from(pages, ({ demand, group, costPicoUsd }) =>
    builder.column(costPicoUsd / PICO_USD_PER_UNIT, pageRate(map, demand, group)),
  );
  const unserved = Int32Array.from(demands, ({ missPicoUsd }) =>
    builder.column(missPicoUsd / PICO_USD_PER_UNIT),
  );
  const workers = new Int32Array(classes.length).fill(-1);
  const started = new Int32Array(classes.length).fill(-1);
  for (const [index, { min, max, workers: present, workerPicoUsdPerMs, startupMs }] of classes.entries()) {
    const rate = workerPicoUsdPerMs * 1_000;
    const startRate = (workerPicoUsdPerMs * startupMs) / horizonSeconds;
    if (fixed !== undefined) {
      const count = fixed.workers[index] ?? 0;
      fixedPicoUsdPerSecond += rate * count + startRate * Math.max(0, count - present);
    } else if (min === max) {
      fixedPicoUsdPerSecond += rate * max + startRate * Math.max(0, max - present);
    } else {
      workers[index] = builder.column(rate / PICO_USD_PER_UNIT, max, { lower: min, isInteger });
      if (startRate > 0 && present < max) started[index] = builder.column(startRate / PICO_USD_PER_UNIT);
    }
  }
  const loaded = new Int32Array(places.length).fill(-1);
  const added = new Int32Array(places.length).fill(-1);
  for (const [index, { on, workerClass, loadRate, holdRate }] of places.entries()) {
    if (fixed !== undefined) {
      const count = fixed.replicas[index] ?? 0;
      fixedPicoUsdPerSecond += holdRate * count + loadRate * Math.max(0, count - on.loaded);
      continue;
    }
    if (!isOpen(index)) continue;
    const kept = Math.min(on.loaded, workerClass.max);
    if (kept > 0) loaded[index] = builder.column(holdRate / PICO_USD_PER_UNIT, kept, { isInteger });
    if (kept < workerClass.max) {
      const cost = (holdRate + loadRate) / PICO_USD_PER_UNIT;
      added[index] = builder.column(cost, workerClass.max - kept, { isInteger });
    }
  }

  const demandRows = endDemandRows(map, builder, { routes: routeColumns, pages: pageColumns, unserved });
  const byClass = indicesBy(routes, classes.length, ({ place }) => places[place]?.classIndex ?? 0);
  const classRows = Int32Array.from(classes, (workerClass, index) => {
    const open = (byClass[index] ?? []).filter((route) => (routeColumns[route] ?? -1) >= 0);
    if (open.length === 0) return -1;
    for (const route of open) builder.entry(routeColumns[route] ?? 0, routes[route]?.busyMs ?? 0);
    const column = workers[index] ?? -1;
    if (column >= 0) builder.entry(column, -(workerMs[index] ?? 0));
    const count = column >= 0 ? 0 : (fixed?.workers[index] ?? workerClass.max);
    return builder.endRow(Number.NEGATIVE_INFINITY, count * (workerMs[index] ?? 0));
  });
  const byPlace = indicesBy(routes, places.length, ({ place }) => place);
  const placeRows = Int32Array.from(places, ({ replicaMs, classIndex }, index) => {
    const replicas = fixed?.replicas[index] ?? 0;
    // On every worker of the class: the class's own row says as much.
    const isEverywhere = fixed !== undefined && replicas >= (fixed.workers[classIndex] ?? 0);
    if (!isOpen(index) || isEverywhere) return -1;
    for (const route of byPlace[index] ?? []) {
      builder.entry(routeColumns[route] ?? 0, routes[route]?.busyMs ?? 0);
    }
    for (const column of [loaded[index] ?? -1, added[index] ?? -1]) {
      if (column >= 0) builder.entry(column, -replicaMs);
    }
    return builder.endRow(Number.NEGATIVE_INFINITY, replicas * (workerMs[classIndex] ?? 0));
  });
  const memoryRows = new Int32Array(classes.length).fill(-1);
  if (fixed === undefined) endMemoryRows(map, builder, { workers, loaded, added, memoryRows });
  for (const [index, column] of started.entries()) {
    if (column < 0) continue;
    builder.entry(workers[index] ?? 0, 1);
    builder.entry(column, -1);
    builder.endRow(Number.NEGATIVE_INFINITY, classes[index]?.workers ?? 0);
  }
  return {
    program: builder.build(),
    routes: routeColumns,
    pages: pageColumns,
    unserved,
    workers,
    loaded,
    added,
    demandRows,
    classRows,
    placeRows,
    memoryRows,
    fixedPicoUsdPerSecond,
  };
}

/** Requests a second that the pages of a demand's group could answer. */
export function pageRate({ input }: RouteMap, demand: number, group: number): number {
  const { requestsPerSecond, pages } = input.demands[demand] ?? { requestsPerSecond: 0, pages: [] };
  return requestsPerSecond * (pages[group]?.share ?? 0);
}

function endDemandRows(
  { input, routes, pages }: RouteMap,
  builder: LinearProgramBuilder,
  columns: Pick<PlanProgram, 'routes' | 'pages' | 'unserved'>,
): Int32Array {
  const perDemand = input.demands.map((): number[] => []);
  for (const [index, { demand }] of routes.entries()) {
    const column = columns.routes[index] ?? -1;
    if (column >= 0) perDemand[demand]?.push(column);
  }
  for (const [index, { demand }] of pages.entries()) perDemand[demand]?.push(columns.pages[index] ?? 0);
  return Int32Array.from(input.demands, ({ requestsPerSecond }, index) => {
    for (const column of perDemand[index] ?? []) builder.entry(column, 1);
    builder.entry(columns.unserved[index] ?? 0, 1);
    return builder.endRow(requestsPerSecond, requestsPerSecond);
  });
}

function endMemoryRows(
  { input, places }: RouteMap,
  builder: LinearProgramBuilder,
  columns: Pick<PlanProgram, 'workers' | 'loaded' | 'added' | 'memoryRows'>,
): void {
  const perClass = input.classes.map((): number[] => []);
  for (const [index, { classIndex, memoryShare }] of places.entries()) {
    if (memoryShare > 0) perClass[classIndex]?.push(index);
  }
  for (const [index, { max }] of input.classes.entries()) {
    const members = perClass[index] ?? [];
    if (members.length === 0) continue;
    for (const place of members) {
      const share = places[place]?.memoryShare ?? 0;
      for (const column of [columns.loaded[place] ?? -1, columns.added[place] ?? -1]) {
        if (column >= 0) builder.entry(column, share);
      }
    }
    const column = columns.workers[index] ?? -1;
    if (column >= 0) builder.entry(column, -1);
    columns.memoryRows[index] = builder.endRow(Number.NEGATIVE_INFINITY, column >= 0 ? 0 : max);
    for (const { among, most } of crowds(members, (place) => places[place]?.memoryShare ?? 0)) {
      for (const place of among) {
        for (const entry of [columns.loaded[place] ?? -1, columns.added[place] ?? -1]) {
          if (entry >= 0) builder.entry(entry, 1);
        }
      }
      if (column >= 0) builder.entry(column, -most);
      builder.endRow(Number.NEGATIVE_INFINITY, column >= 0 ? 0 : most * max);
    }
  }
}

/**
 * Sets of places of which one worker's memory holds at most so many: those that need more than a half (a third, a fourth) of it;
 * a smaller one with all beside which it has no room.
 */
function crowds(
  members: readonly number[],
  shareOf: (place: number) => number,
): { readonly among: readonly number[]; readonly most: number }[] {
  const found: { readonly among: readonly number[]; readonly most: number }[] = [];
  for (let most = 1; most <= MOST_ON_WORKER; most += 1) {
    const among = members.filter((place) => shareOf(place) > 1 / (most + 1) + SMALL);
    // Where each takes its whole part, the row of the memory says as much.
    if (among.some((place) => shareOf(place) < 1 / most)) found.push({ among, most });
  }
  const small = members
    .filter((place) => shareOf(place) <= 0.5)
    .sort((a, b) => shareOf(b) - shareOf(a))
    .slice(0, MOST_PAIRED);
  for (const place of small) {
    const apart = members.filter((other) => shareOf(other) + shareOf(place) > 1 + SMALL);
    if (apart.length > 0) found.push({ among: [...apart, place], most: 1 });
  }
  return found;
}
