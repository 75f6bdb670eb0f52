import { bestSchedule, candidateSchedules } from '../optimum/clairvoyant.ts';
import { type Instance, instanceOf } from '../optimum/known-run.ts';
import { type Reached, reachedBy, type Served } from '../optimum/schedule.ts';
import { provisionedUsdOf, type Shift, shiftsOf } from '../optimum/shifts.ts';
import { replicaOf } from '../profile-table.ts';
import type { Scenario, ScenarioCascade } from '../scenario/scenario.ts';
import { createWorkload, isEscalated, type Workload } from '../scenario/workload.ts';
import type { Policy, SimulatedRequest, SimulatedWorker, World } from '../simulator/policy.ts';

/** What was found offline for a run of a scenario; good for every number on time that is asked for. */
export interface Schedules {
  readonly instance: Instance;
  readonly candidates: readonly (readonly Served[])[];
}

/** What is asked of the schedule. */
export interface ClairvoyantOptions {
  /** Requests that have to be on time; the cheapest schedule with as many is taken. Default: as many as there can be. */
  readonly atLeastOnTime?: number;
  /** Those of `findSchedules`, which takes long; found when absent. */
  readonly schedules?: Schedules;
}

/** Where a request goes. */
type Placed =
  | { readonly kind: 'worker'; readonly duty: Duty; readonly variant: string }
  | { readonly kind: 'page'; readonly variant: string };

/** A worker's part of the schedule while it is carried out. */
interface Duty {
  readonly shift: Shift;
  worker: SimulatedWorker | undefined;
  /** Batches that have begun. */
  done: number;
}

/**
 * One who knows every arrival and every draw beforehand: the best schedule that was found offline (`bestSchedule`), carried out in
 * the simulator, so that the same ledger counts it. Judged as policies are: by the marginal cost with a fixed fleet, by the
 * cost as provisioned with an elastic one.
 */
export class Clairvoyant implements Policy {
  readonly name = 'clairvoyant';
  /** What the schedule reaches by itself; carrying it out reaches the same. */
  readonly expected: Reached;
  readonly #duties: readonly Duty[];
  readonly #placed = new Map<number, Placed>();
  /** By request, the variants that its caller's device begins to fetch. */
  readonly #fetches = new Map<number, string[]>();
  readonly #indices: ReadonlyMap<object, number>;
  readonly #duty = new Map<SimulatedWorker, Duty>();

  constructor(
    scenario: Scenario,
    { atLeastOnTime, schedules = findSchedules(scenario) }: ClairvoyantOptions = {},
  ) {
    const { instance, candidates } = schedules;
    const costOf = isElastic(scenario)
      ? (own: readonly Served[]) => provisionedUsdOf(scenario, own)
      : undefined;
    const served = bestSchedule(candidates, { atLeastOnTime, costOf });
    this.expected = reachedBy(served);
    this.#indices = new Map(instance.requests.map((request, index) => [request, index]));
    this.#duties = shiftsOf(scenario, served).map((shift) => ({ shift, worker: undefined, done: 0 }));
    for (const duty of this.#duties) {
      for (const { members, profile } of duty.shift.batches) {
        const { variant } = profile;
        for (const member of members)
          this.#placed.set(this.#indexOf(member), { kind: 'worker', duty, variant });
      }
    }
    for (const part of served) {
      if (part.kind === 'batch') continue;
      const index = this.#indexOf(part.request);
      const { variant } = part;
      if (part.kind === 'private') this.#placed.set(index, { kind: 'page', variant });
      else this.#fetches.set(index, [...(this.#fetches.get(index) ?? []), variant]);
    }
  }

  start(world: World): void {
    const free = new Set(world.workers);
    for (const duty of this.#duties) {
      const { spec, hireMs } = duty.shift;
      if (hireMs > 0) {
        world.at(hireMs, () => this.#begin(duty, world.startWorker(spec.deviceClass), world));
        continue;
      }
      const present = [...free].find(
        ({ deviceClass, tier }) => deviceClass === spec.deviceClass && tier === spec.tier,
      );
      if (present !== undefined) free.delete(present);
      this.#begin(duty, present ?? world.startWorker(spec.deviceClass), world);
    }
    // Of an elastic class nobody is kept who has nothing to do.
    for (const worker of free) world.stopWorker(worker);
  }

  arrive(request: SimulatedRequest, world: World): void {
    for (const variant of this.#fetches.get(request.index) ?? []) {
      world.prepare(request.caller, request.task, variant);
    }
    const placed = this.#placed.get(request.index);
    if (placed === undefined) world.refuse(request);
    else if (placed.kind === 'page')
      world.runInBrowser(request, placed.variant, cascadeFor(request, placed.variant, world));
    else {
      const { worker } = placed.duty;
      if (worker === undefined)
        throw new Error(`Request ${request.index} has no worker at ${world.nowMs} ms`);
      world.dispatch(request, worker, placed.variant, cascadeFor(request, placed.variant, world));
    }
  }

  /** The next batch of the schedule, as soon as all of it is there. */
  formBatch(worker: SimulatedWorker): { run: number[]; drop: number[]; variant?: string } {
    const duty = this.#duty.get(worker);
    const batch = duty?.shift.batches[duty.done];
    if (duty === undefined || batch === undefined) return { run: [], drop: [] };
    const members = new Set(batch.members.map((member) => this.#indexOf(member)));
    const run = [...worker.queue.keys()].filter((position) =>
      members.has(worker.queue[position]?.index ?? -1),
    );
    const isReady = worker.ready.has(replicaOf(batch.profile.task, batch.profile.variant));
    if (run.length < members.size || !isReady) return { run: [], drop: [] };
    duty.done += 1;
    return { run, drop: [], variant: batch.profile.variant };
  }

  #begin(duty: Duty, worker: SimulatedWorker | undefined, world: World): void {
    const { spec, profiles, stopMs } = duty.shift;
    if (worker === undefined) throw new Error(`No worker of ${spec.deviceClass} left at ${world.nowMs} ms`);
    duty.worker = worker;
    this.#duty.set(worker, duty);
    for (const { task, variant } of profiles) world.load(worker, task, variant);
    if (stopMs !== undefined) world.at(Math.max(world.nowMs, stopMs), () => world.stopWorker(worker));
  }

  #indexOf(request: object): number {
    const index = this.#indices.get(request);
    if (index === undefined) throw new RangeError('Expected a request of the instance');
    return index;
  }
}

/** The cascade by whose leave a less accurate variant answers a request: it is known beforehand that it will be sure. */
function cascadeFor(
  { task: name, index, minAccuracy }: SimulatedRequest,
  variant: string,
  { scenario, profiles }: World,
): ScenarioCascade | undefined {
  const isEnough = profiles.all.some(
    (profile) => profile.task === name && profile.variant === variant && profile.accuracy >= minAccuracy,
  );
  if (isEnough) return undefined;
  return scenario.tasks
    .find(({ task }) => task === name)
    ?.cascades?.find(
      (cascade) =>
        cascade.small === variant &&
        cascade.accuracy >= minAccuracy &&
        !isEscalated(scenario.seed, index, cascade),
    );
}

/** Searches for schedules of a scenario; with an elastic fleet also for some with fewer workers than there may be. */
export function findSchedules(scenario: Scenario, workload: Workload = createWorkload(scenario)): Schedules {
  const instance = instanceOf(scenario, workload);
  return { instance, candidates: smallerFleets(scenario, instance).flatMap(candidateSchedules) };
}

function isElastic({ fleet }: Scenario): boolean {
  return fleet.some(({ min, max }) => min < max);
}

/** The instance with all that its elastic classes may have, with half of that, and so on down to what they have at least. */
function smallerFleets({ fleet }: Scenario, instance: Instance): Instance[] {
  const instances: Instance[] = [];
  for (let share = 1; ; share /= 2) {
    const classes = instance.classes.map((entry, index) => {
      const { min, max } = fleet[index] ?? { min: entry.count, max: entry.count };
      return { ...entry, count: Math.max(min, Math.round(max * share)) };
    });
    instances.push({ ...instance, classes });
    if (fleet.every(({ min, max }) => Math.round(max * share) <= Math.max(1, min))) return instances;
  }
}

/** The clairvoyant, as a factory. */
export function clairvoyant(scenario: Scenario): Policy {
  return new Clairvoyant(scenario);
}
