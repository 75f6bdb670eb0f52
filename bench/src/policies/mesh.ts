import {
  CalibrationBook,
  type CalibrationKey,
  decide,
  type Option,
  onTimeProbability,
  type PlacedVariant,
  type Promised,
  passedOver,
  type RequestSpec,
  resolveSpec,
  totalLatency,
} from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';
import type { Profile } from '../profile-table.ts';
import type { Scenario, ScenarioTask } from '../scenario/scenario.ts';
import type {
  Policy,
  SimulatedOutcome,
  SimulatedRequest,
  SimulatedWorker,
  World,
} from '../simulator/policy.ts';
import { WorkerBelief } from './mesh/belief.ts';
import { OptionBuilder, REVISION } from './mesh/mesh-options.ts';
import { loadStanding } from './standing.ts';

/** Parts of the mesh that can be left out, to show what each is worth. */
export interface MeshOptions {
  /** Default true. */
  readonly isCalibrated?: boolean;
  /** Whether the caller's round trip is part of a prediction (default true). */
  readonly seesNetwork?: boolean;
  /** Age of load reports; 0, the default, = with every answer and at least each second. */
  readonly reportEveryMs?: number;
}

/** Milliseconds between two load reports of a worker that answers nothing. */
const REPORT_EVERY_MS = 1_000;

/** The mesh itself: the same core as the coordinator's and the page's. */
export function mesh(scenario: Scenario, options: MeshOptions = {}): Policy {
  return new MeshPolicy(scenario, options);
}

/** What was predicted of a request that is under way. */
interface Placed {
  readonly key: CalibrationKey;
  readonly place: string;
  readonly predicted: Moments;
  readonly promised: Promised | undefined;
  readonly belief: WorkerBelief | undefined;
}

/**
 * Places each request where it is cheapest among the places that are on time with the target's probability (`decide`), from
 * load reports and calibrated predictions. A capable caller gets the variant that suits it in the background, as soon as it
 * makes its first request, and answers by itself from then on where that is cheaper.
 */
class MeshPolicy implements Policy {
  readonly name = 'mesh';
  readonly #tasks: ReadonlyMap<string, { readonly task: ScenarioTask; readonly spec: RequestSpec }>;
  readonly #builder: OptionBuilder;
  readonly #isCalibrated: boolean;
  readonly #reportEveryMs: number;
  readonly #book = new CalibrationBook();
  readonly #beliefs = new Map<SimulatedWorker, WorkerBelief>();
  readonly #placed = new Map<number, Placed>();
  /** By task and device class, what a page of that class fetches; undefined = nothing. */
  readonly #pageVariants = new Map<string, Profile | undefined>();

  constructor(
    scenario: Scenario,
    { isCalibrated = true, seesNetwork = true, reportEveryMs = 0 }: MeshOptions,
  ) {
    this.#tasks = new Map(
      scenario.tasks.map((task) => [
        task.task,
        {
          task,
          spec: resolveSpec({ slo_ms: task.sloMs, min_accuracy: task.minAccuracy, prefer: task.prefer }, {}),
        },
      ]),
    );
    this.#builder = new OptionBuilder(scenario, seesNetwork);
    this.#isCalibrated = isCalibrated;
    this.#reportEveryMs = reportEveryMs;
  }

  start(world: World): void {
    loadStanding(world, (task, worker) => {
      const minAccuracy = this.#tasks.get(task)?.task.minAccuracy ?? 0;
      return world.profiles
        .ofClass(task, worker.deviceClass)
        .filter(({ accuracy }) => accuracy >= minAccuracy);
    });
    this.#report(world);
  }

  arrive(request: SimulatedRequest, world: World): void {
    const entry = this.#tasks.get(request.task);
    if (entry === undefined) throw new RangeError(`Expected "${request.task}" to be a task of the scenario`);
    const { caller } = request;
    const options = this.#remoteOptions(request, entry.task, world);
    const page = caller.deviceClass === undefined ? undefined : this.#pageVariant(request, entry, world);
    if (page !== undefined) {
      if (caller.has(`${request.task}/${page.variant}`)) {
        options.push(this.#calibrated(this.#builder.browser(caller, page, world.nowMs), request.task));
      } else if (this.#isWorthFetching(page, options)) world.prepare(caller, request.task, page.variant);
    }
    const sloMs = request.deadlineMs - request.arrivalMs;
    const spec = sloMs === entry.spec.sloMs ? entry.spec : { ...entry.spec, sloMs };
    const decision = decide(spec, options);
    const { choice } = decision;
    for (const option of passedOver(spec, decision)) {
      this.#book.passedOver(this.#key(request.task, option), placeOf(option));
    }
    if (choice.kind === 'refused') world.refuse(request);
    else this.#place(request, choice.chosen.option, world);
  }

  finished(request: SimulatedRequest, outcome: SimulatedOutcome, world: World): void {
    const placed = this.#placed.get(request.index);
    if (placed === undefined) return;
    this.#placed.delete(request.index);
    if (this.#isCalibrated && outcome.kind !== 'refused') {
      const isCensored = outcome.kind === 'dropped';
      const { key, place, predicted, promised } = placed;
      this.#book.observe(key, place, predicted, outcome.latencyMs, isCensored, promised);
    }
    if (this.#reportEveryMs === 0) placed.belief?.report(world.nowMs);
  }

  #place(request: SimulatedRequest, option: Option, world: World): void {
    const { task, caller } = request;
    const key = this.#key(task, option);
    const worker =
      option.tier === 'browser' ? undefined : world.workers.find(({ id }) => id === option.worker);
    const belief = worker === undefined ? undefined : this.#belief(worker, world);
    this.#placed.set(request.index, {
      key,
      place: worker?.id ?? option.deviceClass,
      predicted: totalLatency(option.parts),
      promised: this.#isCalibrated ? this.#book.promise(key) : undefined,
      belief,
    });
    if (worker === undefined) {
      world.runInBrowser(request, option.variant);
      return;
    }
    world.dispatch(request, worker, option.variant);
    const profile = world.profiles.find(task, option.variant, worker.deviceClass);
    const payloadBytes = this.#tasks.get(task)?.task.payloadBytes ?? 0;
    const wayMs = caller.rttMs / 2 + payloadBytes / world.scenario.network.bytesPerMs;
    if (profile !== undefined) belief?.sent(profile, world.nowMs, world.nowMs + wayMs);
  }

  #remoteOptions(request: SimulatedRequest, task: ScenarioTask, world: World): Option[] {
    const options: Option[] = [];
    for (const worker of world.workers) {
      if (worker.isDraining) continue;
      const belief = this.#belief(worker, world);
      for (const profile of world.profiles.ofClass(request.task, worker.deviceClass)) {
        if (profile.accuracy < task.minAccuracy || !worker.ready.has(`${request.task}/${profile.variant}`))
          continue;
        const option = this.#builder.remote(request.caller, task, belief, profile, world.nowMs);
        options.push(this.#calibrated(option, request.task));
      }
    }
    return options;
  }

  /** Of the variants that are accurate and fast enough on the class, the one with the fewest bytes. */
  #pageVariant(
    { task: name, caller }: SimulatedRequest,
    { task, spec }: { readonly task: ScenarioTask; readonly spec: RequestSpec },
    world: World,
  ): Profile | undefined {
    const key = `${name}@${caller.deviceClass}`;
    if (this.#pageVariants.has(key)) return this.#pageVariants.get(key);
    let best: Profile | undefined;
    for (const profile of world.profiles.ofClass(name, caller.deviceClass ?? '')) {
      const isFast = onTimeProbability(profile.moments(1), task.sloMs) >= spec.sloTarget;
      if (!isFast || profile.accuracy < task.minAccuracy) continue;
      if (best === undefined || profile.weightBytes < best.weightBytes) best = profile;
    }
    this.#pageVariants.set(key, best);
    return best;
  }

  /** A page fetches what makes its requests cheaper, and what the mesh has nobody for. */
  #isWorthFetching(page: Profile, remote: readonly Option[]): boolean {
    const cheapest = Math.min(...remote.map(({ costPicoUsd }) => costPicoUsd));
    return this.#builder.browserCostPicoUsd(page) < cheapest;
  }

  #calibrated(option: Option, task: string): Option {
    if (!this.#isCalibrated) return option;
    const calibration = this.#book.curve(this.#key(task, option), placeOf(option));
    return calibration === undefined ? option : { ...option, calibration };
  }

  #key(task: string, { variant, tier, deviceClass }: PlacedVariant): CalibrationKey {
    return { task, variant, revision: REVISION, tier, deviceClass };
  }

  #belief(worker: SimulatedWorker, world: World): WorkerBelief {
    let belief = this.#beliefs.get(worker);
    if (belief === undefined) {
      belief = new WorkerBelief(worker, (task, variant, deviceClass) =>
        world.profiles.find(task, variant, deviceClass),
      );
      belief.report(world.nowMs);
      this.#beliefs.set(worker, belief);
    }
    return belief;
  }

  #report(world: World): void {
    const everyMs = this.#reportEveryMs === 0 ? REPORT_EVERY_MS : this.#reportEveryMs;
    world.at(world.nowMs + everyMs, () => {
      const present = new Set(world.workers);
      for (const [worker, belief] of this.#beliefs) {
        if (present.has(worker)) belief.report(world.nowMs);
        else this.#beliefs.delete(worker);
      }
      this.#report(world);
    });
  }
}

/** What has a factor of its own: a worker, and all devices of a class, each of which makes few requests. */
function placeOf({ tier, deviceClass, worker }: PlacedVariant): string {
  return tier === 'browser' ? deviceClass : worker;
}
