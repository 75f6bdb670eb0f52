import type { Scenario, ScenarioTask } from '../scenario/scenario.ts';
import type { Policy, PolicyFactory, SimulatedRequest, SimulatedWorker, World } from '../simulator/policy.ts';
import { doneByMs } from './fixed-variant.ts';
import { type Allocation, allocate, expectedRate, type ProteusOption } from './proteus/allocate.ts';
import { proactiveBatch } from './proteus/batching.ts';
import { createHighs, type Highs } from './proteus/solver.ts';
import { nextInTurn, type Turn } from './turns.ts';

/** Milliseconds between two plans [C: configs, solve_interval 10]. */
const PLAN_PERIOD_MS = 10_000;
/** Weight of a window over that of the one before it [C: configs, ewma_decay]. */
const DEMAND_DECAY = 1.6;
/** Windows that the expected demand looks back on. */
const DEMAND_WINDOWS = 10;
/** Part of the SLO that a batch may take, so that one more may be waited for [ASPLOS'24]. */
const BATCH_SHARE_OF_SLO = 0.5;
/** Milliseconds of the trace that the first plan is made for. */
const FIRST_DEMAND_MS = 60_000;

/** Milliseconds after which it is seen again whether what is to leave has made room. */
const ROOM_PERIOD_MS = 10;

/** A worker that the plan gives nothing still has its turn now and then: better than refusing when nothing else is left. */
const LEAST_PER_SECOND = 1e-6;

interface Assignment extends Turn {
  readonly worker: SimulatedWorker;
  readonly option: ProteusOption;
  /** What the worker is to serve, at least `LEAST_PER_SECOND`. */
  perSecond: number;
}

/**
 * Proteus (Ahmad et al., "Proteus: A High-Throughput Inference-Serving System with Accuracy Scaling", ASPLOS'24): a fixed
 * cluster in which every 10 seconds a mixed-integer program chooses one variant for each device and the share of each demand
 * that it gets, for the highest accuracy that still serves the demand; batches are waited for. No browser tier, no machines
 * added or removed; cost is not its concern. See docs/baselines.md.
 */
export class Proteus implements Policy {
  readonly name = 'proteus';
  readonly #solver: Highs;
  #tasks: ReadonlyMap<string, ScenarioTask> = new Map();
  #options: readonly ProteusOption[] = [];
  readonly #assigned = new Map<SimulatedWorker, Assignment>();
  /** What a worker held before, which it serves until the new variant is there. */
  readonly #leaving = new Map<SimulatedWorker, Assignment>();
  readonly #arrivals = new Map<string, number>();
  /** By task, requests a second in the last windows, newest first. */
  readonly #rates = new Map<string, number[]>();

  constructor(solver: Highs) {
    this.#solver = solver;
  }

  start(world: World): void {
    this.#tasks = new Map(world.scenario.tasks.map((task) => [task.task, task]));
    this.#options = proteusOptions(world);
    for (const { task, arrivals } of world.scenario.tasks) {
      const lengthMs = Math.min(FIRST_DEMAND_MS, world.scenario.durationMs);
      const count = arrivals.filter(({ arrivalMs }) => arrivalMs < lengthMs).length;
      this.#rates.set(task, [(count * 1_000) / Math.max(1, lengthMs)]);
    }
    this.#plan(world);
    const again = () => {
      this.#closeWindow();
      this.#plan(world);
      if (world.nowMs + PLAN_PERIOD_MS <= world.scenario.durationMs) {
        world.at(world.nowMs + PLAN_PERIOD_MS, again);
      }
    };
    world.at(PLAN_PERIOD_MS, again);
  }

  /** To the workers of the task in turn, each as often as its share of the plan says. */
  arrive(request: SimulatedRequest, world: World): void {
    const { task } = request;
    this.#arrivals.set(task, (this.#arrivals.get(task) ?? 0) + 1);
    const next = nextInTurn(
      world.workers.flatMap((worker) => {
        const assignment = this.#serving(worker);
        if (assignment?.option.task !== task || assignment.option.accuracy < request.minAccuracy) return [];
        return [assignment];
      }),
    );
    if (next === undefined) world.refuse(request);
    else world.dispatch(request, next.worker, next.option.variant);
  }

  formBatch(worker: SimulatedWorker, world: World): { run: number[]; drop: number[] } {
    const first = worker.queue[0];
    if (first === undefined) return { run: [], drop: [] };
    const task = this.#tasks.get(first.task);
    const variant = worker.variantAt(0);
    if (task === undefined) throw new RangeError(`Expected the task "${first.task}" to be in the scenario`);
    const positions: number[] = [];
    for (let position = 0; position < worker.queue.length; position += 1) {
      const request = worker.queue[position];
      if (request?.task === first.task && worker.variantAt(position) === variant) positions.push(position);
    }
    // Callers are unlike far away, so the order of arrival is not that of the deadlines, which the rule supposes.
    const doneBy = new Map(
      positions.map((position) => {
        const request = worker.queue[position];
        return [position, request === undefined ? 0 : doneByMs(world.scenario, task, request)];
      }),
    );
    positions.sort((a, b) => (doneBy.get(a) ?? 0) - (doneBy.get(b) ?? 0) || a - b);
    const deadlines = positions.map((position) => doneBy.get(position) ?? 0);
    const serviceMs = (batch: number) =>
      world.service(first.task, variant, worker.deviceClass, batch)?.p99Ms ?? Number.POSITIVE_INFINITY;
    const maxBatch = largestBatch(world, task, variant, worker.deviceClass);
    const step = proactiveBatch(deadlines, world.nowMs, Math.max(1, maxBatch), serviceMs);
    const drop = positions.slice(0, step.drop);
    if (step.kind === 'run') return { run: positions.slice(step.drop, step.drop + step.size), drop };
    if (Number.isFinite(step.untilMs)) world.at(step.untilMs, () => world.wake(worker));
    return { run: [], drop };
  }

  #serving(worker: SimulatedWorker): Assignment | undefined {
    const assignment = this.#assigned.get(worker);
    if (worker.isDraining || assignment === undefined) return undefined;
    if (worker.ready.has(nameOf(assignment.option))) return assignment;
    const before = this.#leaving.get(worker);
    return before !== undefined && worker.ready.has(nameOf(before.option)) ? before : undefined;
  }

  #closeWindow(): void {
    for (const [task, rates] of this.#rates) {
      const rate = ((this.#arrivals.get(task) ?? 0) * 1_000) / PLAN_PERIOD_MS;
      this.#rates.set(task, [rate, ...rates].slice(0, DEMAND_WINDOWS));
    }
    this.#arrivals.clear();
  }

  #plan(world: World): void {
    const workers = world.workers.filter(({ isDraining }) => !isDraining);
    const devices = new Map<string, number>();
    for (const { deviceClass } of workers) devices.set(deviceClass, (devices.get(deviceClass) ?? 0) + 1);
    const demand = new Map(
      [...this.#rates].map(([task, rates]) => [task, expectedRate(rates, DEMAND_DECAY)]),
    );
    const plan = allocate(this.#solver, { options: this.#options, devices, demand });
    // Without demand or a solution the last plan stays, as in the released code.
    if (plan === undefined || plan.length === 0) return;
    for (const deviceClass of devices.keys()) {
      this.#apply(
        workers.filter((worker) => worker.deviceClass === deviceClass),
        plan.filter(({ option, devices: count }) => option.deviceClass === deviceClass && count > 0),
        world,
      );
    }
  }

  /** Gives each option its workers, first those that hold it already; what is left over keeps what it has. */
  #apply(workers: readonly SimulatedWorker[], plan: readonly Allocation[], world: World): void {
    const free = new Set(workers);
    const wanted: Allocation[] = [];
    for (const { option, devices, perSecond } of plan) {
      const share = Math.max(LEAST_PER_SECOND, perSecond / devices);
      let left = devices;
      for (const worker of free) {
        const assignment = this.#assigned.get(worker);
        if (left === 0 || assignment === undefined || nameOf(assignment.option) !== nameOf(option)) continue;
        assignment.perSecond = share;
        free.delete(worker);
        left -= 1;
      }
      if (left > 0) wanted.push({ option, devices: left, perSecond: share });
    }
    for (const { option, devices, perSecond } of wanted) {
      for (const worker of [...free].slice(0, devices)) {
        free.delete(worker);
        this.#assign(worker, option, perSecond, world);
      }
    }
    for (const worker of free) {
      const assignment = this.#assigned.get(worker);
      if (assignment !== undefined) assignment.perSecond = LEAST_PER_SECOND;
    }
  }

  /** Loads the new variant beside the old one where both fit, so that the worker serves meanwhile; else in its place. */
  #assign(worker: SimulatedWorker, option: ProteusOption, perSecond: number, world: World): void {
    const before = this.#assigned.get(worker);
    this.#assigned.set(worker, { worker, option, perSecond, credit: 0 });
    const earlier = this.#leaving.get(worker);
    this.#leaving.delete(worker);
    if (earlier !== undefined && nameOf(earlier.option) !== nameOf(option)) {
      world.unload(worker, earlier.option.task, earlier.option.variant);
    }
    if (before !== undefined) {
      if (hasRoom(world, worker, option)) this.#leaving.set(worker, { ...before, perSecond, credit: 0 });
      else world.unload(worker, before.option.task, before.option.variant);
    }
    this.#load(worker, option, before?.option, world);
  }

  /** Loads a variant as soon as there is room for it: what is to leave stays until nothing waits for it. */
  #load(
    worker: SimulatedWorker,
    option: ProteusOption,
    before: ProteusOption | undefined,
    world: World,
  ): void {
    const isWanted = () => this.#assigned.get(worker)?.option === option;
    if (!hasRoom(world, worker, option)) {
      world.at(world.nowMs + ROOM_PERIOD_MS, () => {
        if (isWanted() && world.workers.includes(worker)) this.#load(worker, option, before, world);
      });
      return;
    }
    world.load(worker, option.task, option.variant);
    const readyMs = worker.loading.get(nameOf(option));
    if (before === undefined || readyMs === undefined) return;
    world.at(readyMs, () => {
      if (this.#leaving.get(worker)?.option !== before || !isWanted()) return;
      this.#leaving.delete(worker);
      world.unload(worker, before.task, before.variant);
    });
  }
}

/** Every variant that is accurate enough, fits on a worker by itself, and takes one input in less than half of the SLO. */
function proteusOptions(world: World): ProteusOption[] {
  return world.scenario.tasks.flatMap((task) =>
    world.scenario.fleet.flatMap(({ deviceClass }) =>
      world.profiles.ofClass(task.task, deviceClass).flatMap((profile) => {
        if (profile.accuracy < task.minAccuracy) return [];
        if (profile.memoryBytes > roomOf(world.scenario, deviceClass)) return [];
        const batch = largestBatch(world, task, profile.variant, deviceClass);
        if (batch === 0) return [];
        const peakPerSecond = Math.floor((batch * 1_000) / profile.service(batch).meanMs);
        const { variant, accuracy } = profile;
        return [{ task: task.task, variant, deviceClass, accuracy, peakPerSecond }];
      }),
    ),
  );
}

/** Largest batch whose 99 % quantile is below half of the SLO; 0 where even one input takes longer. */
function largestBatch(world: World, task: ScenarioTask, variant: string, deviceClass: string): number {
  const limitMs = task.sloMs * BATCH_SHARE_OF_SLO;
  let batch = world.maxBatch(task.task, variant, deviceClass);
  while (batch > 0) {
    const service = world.service(task.task, variant, deviceClass, batch);
    if (service !== undefined && service.p99Ms < limitMs) return batch;
    batch -= 1;
  }
  return 0;
}

/** Whether a worker holds an option's variant, or could hold it besides all that it holds and what has not left yet. */
function hasRoom({ scenario, profiles }: World, worker: SimulatedWorker, option: ProteusOption): boolean {
  const { deviceClass } = option;
  const held = [...worker.ready, ...worker.loading.keys()];
  if (held.includes(nameOf(option))) return true;
  const bytesOf = (name: string) =>
    profiles.all.find((profile) => profile.deviceClass === deviceClass && nameOf(profile) === name)
      ?.memoryBytes ?? 0;
  const bytes = [...held, nameOf(option)].reduce((sum, name) => sum + bytesOf(name), 0);
  return bytes <= roomOf(scenario, deviceClass);
}

function roomOf({ fleet }: Scenario, deviceClass: string): number {
  return fleet.find((spec) => spec.deviceClass === deviceClass)?.memoryBytes ?? 0;
}

function nameOf({ task, variant }: Pick<ProteusOption, 'task' | 'variant'>): string {
  return `${task}/${variant}`;
}

/** Proteus, as a factory; its solver is loaded first. */
export const proteus: PolicyFactory = async () => new Proteus(await createHighs());
