import {
  type Clock,
  type Demand,
  greedyPlan,
  onTimeProbability,
  type Plan,
  type PlanInput,
  type ProfileBook,
  type RegisteredTask,
  type RequestSpec,
  Settler,
  type Solver,
  solvePlan,
  sumMoments,
} from '@nearfar/core';
import type { Prices, PriceTable, VariantSpec } from '@nearfar/protocol';
import type { Catalog } from './catalog.ts';
import type { FleetWorker } from './fleet-worker.ts';
import type { Log } from './options.ts';
import { DemandBook } from './planning/demand-book.ts';
import { type Holder, holdings } from './planning/hold.ts';
import { classOf, livePlanInput } from './planning/plan-input.ts';

/** Milliseconds between two plans where the options say nothing. */
export const DEFAULT_PLAN_EVERY_MS = 5_000;
/** Part of the time between two plans that one may take. */
const TIME_SHARE = 0.2;
/** A variant that a plan does not want, or that somebody asked for, stays at least this long, … */
const LEAST_DWELL_MS = 60_000;
/** … and this many times as long as it takes to load: INFaaS waits once, and pays for each time that it was wrong. */
const DWELL_IN_LOADS = 10;

/** What the planner needs of its coordinator. */
export interface PlannerParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly catalog: Catalog;
  readonly book: ProfileBook;
  readonly prices: Prices;
  /** Absent = the greedy plan. */
  readonly solver: Solver | undefined;
  readonly planEveryMs: number;
  /** Whether plans say what workers hold; else every worker holds all that it can run. */
  readonly planLoads: boolean;
  readonly workers: () => readonly FleetWorker[];
  /** Every variant that the revisions of the tasks need. */
  readonly variants: () => readonly VariantSpec[];
  /** Brings every worker to hold `Planner.variantsFor` it. */
  readonly assignAll: () => void;
  /** Hears the duals of each plan. */
  readonly onPrices: (prices: PriceTable['prices']) => void;
  readonly closing: AbortSignal;
  readonly background: (what: string, work: Promise<unknown>) => void;
}

/** A plan, and when it was made. */
export interface CurrentPlan {
  readonly plan: Plan;
  readonly input: PlanInput;
  /** On the monotonic clock. */
  readonly madeAt: number;
  /** Milliseconds that it took. */
  readonly tookMs: number;
}

/**
 * The slow loop: every few seconds, while there are workers, it forecasts demand, plans, sets the prices, and where
 * `planLoads` is set also says which variants each worker holds.
 *
 * It never takes away what a request could need: see `holdings`. Revisions on their way in or out are held as `Rollouts`
 * wants them, since whether they are warm is decided by all of their variants.
 */
export class Planner {
  readonly #parts: PlannerParts;
  readonly #demand = new DemandBook();
  readonly #settler = new Settler();
  /** Keys that each worker is to hold, by worker; absent for one that came after the last plan. */
  #held: ReadonlyMap<string, ReadonlySet<string>> = new Map();
  #current: CurrentPlan | undefined;
  #isRunning = false;
  /** When demand was last counted; undefined while the loop rests. */
  #countedAt: number | undefined;

  constructor(parts: PlannerParts) {
    if (!(parts.planEveryMs > 0)) {
      throw new RangeError(`Expected planEveryMs to be above 0, got ${parts.planEveryMs}`);
    }
    this.#parts = parts;
  }

  /** The newest plan; undefined before the first. */
  get current(): CurrentPlan | undefined {
    return this.#current;
  }

  /** Counts an admitted request of so many inputs. */
  count(task: RegisteredTask, spec: RequestSpec, rows: number): void {
    this.#demand.count(task, spec, rows);
  }

  /** To be called when a worker came or changed: the loop runs only while there are any. */
  wake(): void {
    if (this.#isRunning || this.#parts.closing.aborted || this.#parts.workers().length === 0) return;
    this.#isRunning = true;
    this.#parts.background('plan', this.#run());
  }

  /** The variants that a worker should hold, as far as it can run them. */
  variantsFor(worker: FleetWorker): readonly VariantSpec[] {
    const { planLoads, variants } = this.#parts;
    const all = variants();
    if (!planLoads || this.#current === undefined) return all;
    const planned = this.#planned();
    const held = this.#held.get(worker.id) ?? this.#heldByNewcomer(worker, planned);
    return all.filter((spec) => !planned.has(keyOf(spec)) || held.has(keyOf(spec)));
  }

  /** Plans once, now. */
  async plan(): Promise<CurrentPlan> {
    const { clock, solver, catalog, workers, book, prices, planEveryMs, log, onPrices } = this.#parts;
    const startedAt = clock.now();
    const elapsedMs = this.#countedAt === undefined ? planEveryMs : startedAt - this.#countedAt;
    this.#countedAt = startedAt;
    const streams = this.#demand.tick(planEveryMs / 1_000, elapsedMs / 1_000);
    const input = livePlanInput({ tasks: catalog.list(), workers: workers(), book, prices, streams });
    const turn = { epoch: (this.#current?.plan.epoch ?? 0) + 1 };
    let plan: Plan | undefined;
    if (solver !== undefined && input.demands.some(({ requestsPerSecond }) => requestsPerSecond > 0)) {
      try {
        plan = await solvePlan(input, turn, solver, clock, { timeLimitMs: planEveryMs * TIME_SHARE });
      } catch (error) {
        if (!this.#parts.closing.aborted) log('error', 'the solver failed', { error: String(error) });
      }
    }
    plan ??= greedyPlan(input, turn);
    this.#current = { plan, input, madeAt: clock.now(), tookMs: clock.now() - startedAt };
    onPrices([...plan.prices.prices]);
    if (this.#parts.planLoads) this.#hold(plan, input);
    return this.#current;
  }

  async #run(): Promise<void> {
    const { clock, closing, workers, planEveryMs } = this.#parts;
    try {
      while (workers().length > 0) {
        await clock.sleep(planEveryMs, closing);
        await this.plan();
      }
    } catch (error) {
      if (!closing.aborted) throw error;
    } finally {
      this.#isRunning = false;
      this.#countedAt = undefined;
    }
  }

  /** Brings the workers to hold what the plan wants, once that is settled. */
  #hold({ placements }: Plan, input: PlanInput): void {
    const { clock, workers, assignAll } = this.#parts;
    const now = clock.now();
    const planned = this.#planned();
    const active = workers().filter(({ state }) => state === 'active');
    const wanted = new Map<string, number>();
    for (const { workerClass, replicas } of placements) {
      for (const { task, variant, replicas: count } of replicas) {
        const spec = [...planned.values()].find((entry) => entry.task === task && entry.variant === variant);
        if (spec !== undefined) wanted.set(`${workerClass} ${keyOf(spec)}`, count);
      }
    }
    const dwellMs = dwellOf(input);
    const settled = this.#settler.settle(wanted, now, (name) =>
      dwellMs(name.slice(name.lastIndexOf(' ') + 1)),
    );
    const holders = active.map((worker) => this.#holderOf(worker, planned, now, dwellMs));
    this.#held = holdings({
      workers: holders,
      keys: [...planned.keys()],
      wanted: (workerClass, key) => settled.get(`${workerClass} ${key}`) ?? 0,
      demands: input.demands.map((demand) => servesDemand(demand, input, planned)),
    });
    assignAll();
  }

  /** Variants whose places plans decide, by key: those of revisions that neither come nor go. */
  #planned(): ReadonlyMap<string, VariantSpec> {
    const uses = new Map<string, number>();
    for (const spec of this.#parts.variants()) uses.set(keyOf(spec), (uses.get(keyOf(spec)) ?? 0) + 1);
    const planned = new Map<string, VariantSpec>();
    for (const { active, next } of this.#parts.catalog.records()) {
      if (next !== undefined) continue;
      for (const spec of active.variants) {
        const isShared = uses.get(keyOf(spec)) !== 1;
        if (spec.format !== 'cascade' && !isShared) planned.set(keyOf(spec), spec);
      }
    }
    return planned;
  }

  /**
   * A new worker starts with what is ready nowhere else, and with what nobody has measured on such a device, since no plan can
   * place that; the next plan gives it the rest.
   */
  #heldByNewcomer(newcomer: FleetWorker, planned: ReadonlyMap<string, VariantSpec>): ReadonlySet<string> {
    const others = this.#parts.workers().filter((worker) => worker !== newcomer && worker.state === 'active');
    const missing = [...planned].filter(
      ([, spec]) =>
        !others.some((worker) => worker.replica(spec)?.state === 'ready') ||
        !this.#isMeasured(newcomer, spec),
    );
    return new Set(missing.map(([key]) => key));
  }

  #isMeasured({ hello }: FleetWorker, spec: VariantSpec): boolean {
    return this.#parts.book.service({ ...spec, deviceClass: hello.device.deviceClass }, 1) !== undefined;
  }

  #holderOf(
    worker: FleetWorker,
    planned: ReadonlyMap<string, VariantSpec>,
    now: number,
    dwellMs: (key: string) => number,
  ): Holder {
    const keysWhere = (holds: (spec: VariantSpec, key: string) => boolean) =>
      new Set([...planned].filter(([key, spec]) => holds(spec, key)).map(([key]) => key));
    const isUsed = (spec: VariantSpec, key: string) =>
      now - (worker.usedAt(spec) ?? Number.NEGATIVE_INFINITY) < dwellMs(key);
    return {
      id: worker.id,
      tier: worker.hello.tier,
      workerClass: classOf(worker),
      canRun: (key) => {
        const spec = planned.get(key);
        return spec !== undefined && worker.canRun(spec);
      },
      assigned: keysWhere((spec) => worker.isAssigned(spec)),
      ready: keysWhere((spec) => worker.replica(spec)?.state === 'ready'),
      needed: keysWhere((spec, key) => isUsed(spec, key) || !this.#isMeasured(worker, spec)),
    };
  }
}

/** How long a variant stays at least, by key: by the longest that it takes to load anywhere. */
function dwellOf({ variants }: PlanInput): (key: string) => number {
  const longest = new Map<string, number>();
  for (const { task, variant, on } of variants) {
    longest.set(`${task}/${variant}`, Math.max(0, ...on.map(({ loadMs }) => loadMs)));
  }
  return (key) => {
    const loadMs = longest.get(key.slice(0, key.lastIndexOf('/'))) ?? 0;
    return Math.max(LEAST_DWELL_MS, DWELL_IN_LOADS * loadMs);
  };
}

/** Whether a worker with a variant serves a demand: accurate enough, allowed there, and fast enough when it is idle. */
function servesDemand(
  demand: Demand,
  input: PlanInput,
  planned: ReadonlyMap<string, VariantSpec>,
): (worker: Holder, key: string) => boolean {
  const served = new Set<string>();
  for (const [key, spec] of planned) {
    if (spec.task !== demand.task || spec.accuracy.value < demand.minAccuracy) continue;
    if (demand.variants?.includes(spec.variant) === false) continue;
    const variant = input.variants.find(
      (entry) => entry.task === spec.task && entry.variant === spec.variant,
    );
    for (const { workerClass, batches } of variant?.on ?? []) {
      const own = input.classes.find(({ id }) => id === workerClass);
      const single = batches.find(({ batch }) => batch === 1);
      if (own === undefined || single === undefined || !demand.tiers.includes(own.tier)) continue;
      const time = sumMoments([demand.network, own.link, single.time]);
      if (onTimeProbability(time, demand.sloMs) >= demand.sloTarget) served.add(`${workerClass} ${key}`);
    }
  }
  return (worker, key) => served.has(`${worker.workerClass} ${key}`);
}

function keyOf({ task, variant, revision }: VariantSpec): string {
  return `${task}/${variant}/${revision}`;
}
