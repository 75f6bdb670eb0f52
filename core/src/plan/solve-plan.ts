import type { Clock } from '../ports/clock.ts';
import type { Solution, SolveOptions, Solver } from '../ports/solver.ts';
import { costOf, describePlan, greedyPrices, trimmed } from './assess.ts';
import { emptySeed, type Filled, fill } from './fill.ts';
import { fluidPrices } from './fluid-prices.ts';
import { openMore } from './open-more.ts';
import { Packing, packable } from './pack.ts';
import type { Plan, PlanInput } from './plan.ts';
import { type Integers, PICO_USD_PER_UNIT, type PlanProgram, planProgram } from './program.ts';
import { findRoutes, type RouteMap } from './routes.ts';

/** How long a plan may take, and how good is good enough. */
export interface PlanLimits {
  /** Milliseconds for all of it (default 1,000). */
  readonly timeLimitMs?: number;
  /** Gap to the bound, as a share of it, at which no better plan is looked for (default 0.01). */
  readonly targetGap?: number;
}

type Optimum = Extract<Solution, { kind: 'optimal' }>;

/** Which plan it is. */
export interface PlanTurn {
  /** One more than that of the plan before. */
  readonly epoch: number;
}

const DEFAULT_LIMIT_MS = 1_000;
const DEFAULT_GAP = 0.01;
/** Part of the time that the relaxation may take: without it there are neither a bound nor good whole numbers. */
const RELAXATION_SHARE = 0.7;
/**
 * A replica's fraction above which it is rounded up: with few replicas little is loaded and much is answered at a dearer
 * place, with many the other way round. Each is tried.
 */
const ROUNDING_THRESHOLDS = [0.1, 0, 0.25, 0.4, 0.6];
/** Rounds in which more replicas are opened where the prices say that they pay. */
const MAX_ROUNDS = 8;
/** Part of the time left then that the program with integers may take; the flows are solved after it. */
const INTEGERS_SHARE = 0.8;
/** Up to so many places, all of them are tried. */
const FEW_PLACES = 64;
const SMALL = 1e-6;

/**
 * The greedy plan: no solver, no bound. Used where there is none, and while one is late.
 *
 * Takes the better of filling with no prices and with fluid ones, since without prices the first demand to come takes what a
 * later one may need more. On the instances of the plan benchmark it is 9 to 22 % above the bound.
 */
export function greedyPlan(input: PlanInput, { epoch }: PlanTurn): Plan {
  return describeGreedy(findRoutes(input), epoch, 0);
}

function describeGreedy(map: RouteMap, epoch: number, boundPicoUsdPerSecond: number): Plan {
  const filled = greedyFill(map);
  const prices = greedyPrices(map, filled);
  return describePlan(map, filled, { epoch, prices, boundPicoUsdPerSecond, source: 'greedy' });
}

function greedyFill(map: RouteMap): Filled {
  const seed = emptySeed(map);
  const first = trimmed(map, fill(map, seed));
  const second = trimmed(map, fill(map, { ...seed, prices: fluidPrices(map) }));
  return costOf(map, second) < costOf(map, first) ? second : first;
}

/**
 * Plans with a solver, within a time.
 *
 * The program is relaxed first: workers and replicas may be fractions. That gives the bound and prices. Whole numbers come
 * from its solution, filled up at its prices by the greedy rule; then they are fixed and the flows solved anew, whose duals
 * are the plan's prices (a program with integers has none). While time is left and the gap is large, replicas are opened
 * where those duals say that they pay, and last the program with integers is solved on the places that the relaxation or
 * the best plan use (relaxation-induced neighbourhoods: Danna, Rothberg & Le Pape 2005; Berthold 2014). Whatever the solver does not finish in time, the greedy rule answers.
 *
 * @throws what the solver rejects with; RangeError for input that makes no sense.
 */
export async function solvePlan(
  input: PlanInput,
  { epoch }: PlanTurn,
  solver: Solver,
  clock: Pick<Clock, 'now'>,
  { timeLimitMs = DEFAULT_LIMIT_MS, targetGap = DEFAULT_GAP }: PlanLimits = {},
): Promise<Plan> {
  const endsAt = clock.now() + timeLimitMs;
  const map = findRoutes(input);
  const relaxed = planProgram(map, { kind: 'relaxed' });
  const relaxation = await solver.solve(relaxed.program, { timeLimitMs: timeLimitMs * RELAXATION_SHARE });
  if (relaxation.kind !== 'optimal') return describeGreedy(map, epoch, 0);
  const bound = objectiveOf(relaxed, relaxation);

  const isGoodEnough = (priced: Priced | undefined) =>
    priced !== undefined && priced.costPicoUsd - bound <= targetGap * bound;
  let best: Priced | undefined;
  const attempt = async (integers: Integers): Promise<boolean> => {
    const leftMs = endsAt - clock.now();
    const priced = leftMs > 0 ? await solveFlows(map, integers, solver, leftMs) : undefined;
    if (priced === undefined) return false;
    if (best !== undefined && priced.costPicoUsd >= best.costPicoUsd * (1 - SMALL)) return false;
    best = priced;
    return true;
  };
  for (const threshold of ROUNDING_THRESHOLDS) {
    if (isGoodEnough(best)) break;
    await attempt(rounded(map, relaxed, relaxation, threshold).integers);
  }
  for (let round = 0; round < MAX_ROUNDS && best !== undefined && !isGoodEnough(best); round += 1) {
    const more: Integers | undefined = openMore(map, best.filled, best);
    if (more === undefined || !(await attempt(more))) break;
  }
  if (best !== undefined && !isGoodEnough(best)) {
    const timeLimitMs = (endsAt - clock.now()) * INTEGERS_SHARE;
    const places = worthTrying(map, relaxed, relaxation, best.filled);
    const limits = { timeLimitMs, relativeGap: targetGap / 2 };
    const found = timeLimitMs > 0 ? await solveIntegers(map, places, solver, limits) : undefined;
    if (found !== undefined) await attempt(packable(map, found));
  }
  const facts = { epoch, boundPicoUsdPerSecond: bound };
  if (best === undefined) {
    const filled = trimmed(map, rounded(map, relaxed, relaxation, 0));
    const greedy = greedyFill(map);
    const better = costOf(map, greedy) < costOf(map, filled) ? greedy : filled;
    return describePlan(map, better, { ...facts, prices: greedyPrices(map, better), source: 'greedy' });
  }
  return describePlan(map, best.filled, { ...facts, prices: best.prices, source: 'solver' });
}

/** A plan with its flows at their best, and the duals that go with them, in picodollars. */
interface Priced {
  readonly filled: Filled;
  readonly costPicoUsd: number;
  /** Of a busy millisecond, by class. */
  readonly prices: Float64Array;
  /** Of one more request, by demand. */
  readonly demandPrices: Float64Array;
}

async function solveFlows(
  map: RouteMap,
  integers: Integers,
  solver: Solver,
  timeLimitMs: number,
): Promise<Priced | undefined> {
  const fixed = planProgram(map, { kind: 'fixed', integers });
  const solution = await solver.solve(fixed.program, { timeLimitMs });
  if (solution.kind !== 'optimal') return undefined;
  const filled = trimmed(map, filledOf(fixed, solution.values, integers));
  return {
    filled,
    costPicoUsd: costOf(map, filled),
    prices: classPrices(map, fixed, solution.rowDuals),
    demandPrices: Float64Array.from(
      fixed.demandRows,
      (row) => (solution.rowDuals?.[row] ?? 0) * PICO_USD_PER_UNIT,
    ),
  };
}

/** Places that the program with integers may use: those of the relaxation and of the best plan so far. */
function worthTrying(
  { places }: RouteMap,
  program: PlanProgram,
  { values }: Optimum,
  { integers }: Filled,
): ReadonlySet<number> {
  const read = (column: number) => (column < 0 ? 0 : (values[column] ?? 0));
  const isWorth = (index: number) =>
    places.length <= FEW_PLACES ||
    (integers.replicas[index] ?? 0) > 0 ||
    read(program.loaded[index] ?? -1) + read(program.added[index] ?? -1) > SMALL;
  return new Set(places.map((_place, index) => index).filter(isWorth));
}

async function solveIntegers(
  map: RouteMap,
  places: ReadonlySet<number>,
  solver: Solver,
  limits: SolveOptions,
): Promise<Integers | undefined> {
  const whole = planProgram(map, { kind: 'whole', places });
  const solution = await solver.solve(whole.program, limits);
  if (solution.kind !== 'optimal' && solution.kind !== 'feasible') return undefined;
  const read = (column: number) => (column < 0 ? 0 : Math.round(solution.values[column] ?? 0));
  return {
    workers: map.input.classes.map(({ max }, index) => {
      const column = whole.workers[index] ?? -1;
      return column < 0 ? max : read(column);
    }),
    replicas: map.places.map(
      (_place, index) => read(whole.loaded[index] ?? -1) + read(whole.added[index] ?? -1),
    ),
  };
}

function objectiveOf(program: PlanProgram, solution: Optimum): number {
  return solution.objective * PICO_USD_PER_UNIT + program.fixedPicoUsdPerSecond;
}

/** The duals of the classes' time, as prices from 0. */
function classPrices(map: RouteMap, program: PlanProgram, rowDuals: Float64Array | undefined): Float64Array {
  return Float64Array.from(map.input.classes, (_workerClass, index) => {
    const row = program.classRows[index] ?? -1;
    return row < 0 ? 0 : Math.max(0, -(rowDuals?.[row] ?? 0) * PICO_USD_PER_UNIT);
  });
}

function filledOf(program: PlanProgram, values: Float64Array, integers: Integers): Filled {
  const read = (column: number) => (column < 0 ? 0 : Math.max(0, values[column] ?? 0));
  return {
    integers,
    routeRates: Float64Array.from(program.routes, read),
    pageRates: Float64Array.from(program.pages, read),
    unservedRates: Float64Array.from(program.unserved, read),
  };
}

/**
 * Whole numbers out of a relaxation's fractions. Workers are rounded down; replicas up where their fraction is above
 * `threshold`, those first of which the relaxation has most, as long as a worker has room; what then is missing, the greedy rule
 * adds at the relaxation's prices.
 */
function rounded(map: RouteMap, program: PlanProgram, solution: Optimum, threshold: number): Filled {
  const { input, places } = map;
  const read = (column: number) => (column < 0 ? 0 : (solution.values[column] ?? 0));
  const workers = input.classes.map(({ min, max }, index) => {
    const column = program.workers[index] ?? -1;
    return column < 0 ? max : Math.max(min, Math.floor(read(column) + SMALL));
  });
  const fractions = places.map(
    (_place, index) => read(program.loaded[index] ?? -1) + read(program.added[index] ?? -1),
  );
  const replicas = places.map(() => 0);
  const packings = workers.map((count) => new Packing(count));
  const order = places
    .map((_place, index) => index)
    .sort((a, b) => (fractions[b] ?? 0) - (fractions[a] ?? 0) || a - b);
  for (const index of order) {
    const place = places[index];
    if (place === undefined) continue;
    const { classIndex, memoryShare } = place;
    const count = workers[classIndex] ?? 0;
    const wanted = Math.min(count, Math.ceil((fractions[index] ?? 0) - threshold - SMALL));
    for (let turn = 0; turn < wanted; turn += 1) {
      if (packings[classIndex]?.add(index, memoryShare) !== true) break;
      replicas[index] = turn + 1;
    }
  }
  const prices = classPrices(map, program, solution.rowDuals);
  return fill(map, { prices, integers: { workers, replicas } });
}
