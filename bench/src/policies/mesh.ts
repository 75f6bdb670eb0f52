import {
  CalibrationBook,
  type CalibrationKey,
  cascadeOptions,
  decide,
  type Option,
  type Promised,
  passedOver,
  totalLatency,
} from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';
import { type ProfileTable, replicaOf } from '../profile-table.ts';
import type { Scenario, ScenarioCascade } from '../scenario/scenario.ts';
import type {
  Policy,
  SimulatedOutcome,
  SimulatedRequest,
  SimulatedStage,
  World,
} from '../simulator/policy.ts';
import type { WorkerBelief } from './mesh/belief.ts';
import { MeshCascades } from './mesh/cascades.ts';
import type { MeshOptions } from './mesh/mesh-options.ts';
import { type MeshTask, meshTasks, specOf } from './mesh/mesh-task.ts';
import { OptionBuilder } from './mesh/option-builder.ts';
import { type PageVariant, PageVariants } from './mesh/page-variants.ts';
import { believedProfiles, keyOf, Places, placeOf } from './mesh/places.ts';
import { Scarcity } from './mesh/scarcity.ts';
import { loadStanding } from './standing.ts';

export type { MeshOptions } from './mesh/mesh-options.ts';

/** Milliseconds between two load reports of a worker that answers nothing, and between two looks at what is scarce. */
const EVERY_MS = 1_000;

/** The mesh itself: the same core as the coordinator's and the page's. */
export function mesh(scenario: Scenario, options: MeshOptions = {}): Policy {
  return new MeshPolicy(scenario, options);
}

/** What was predicted of a request, or of a stage, that is under way. */
interface Placed {
  readonly key: CalibrationKey;
  readonly place: string;
  readonly predicted: Moments;
  readonly promised: Promised | undefined;
  readonly belief: WorkerBelief | undefined;
  readonly sentMs: number;
  /** What its deadline left for waiting when it was sent. */
  readonly slackMs: number;
  readonly cascade: ScenarioCascade | undefined;
}

/**
 * Places each request where it is cheapest, prices of scarce capacity included, among the places that are on time with the
 * target's probability (`decide`), from load reports and calibrated predictions. A capable caller gets the variant that suits
 * it in the background, as soon as it makes its first request, and answers by itself from then on where that is cheaper, or
 * runs the small stage of a cascade.
 */
class MeshPolicy implements Policy {
  readonly name = 'mesh';
  readonly #options: MeshOptions;
  readonly #entries: ReadonlyMap<string, MeshTask>;
  readonly #profiles: ProfileTable;
  readonly #builder: OptionBuilder;
  readonly #cascades: MeshCascades | undefined;
  readonly #pages: PageVariants;
  readonly #scarcity: Scarcity | undefined;
  /** Undefined = predictions are not corrected. */
  readonly #book: CalibrationBook | undefined;
  readonly #places: Places;
  readonly #placed = new Map<number, Placed>();

  constructor(scenario: Scenario, options: MeshOptions) {
    const {
      believedTimes = {},
      hasCascades = true,
      hasPrices = true,
      isCalibrated = true,
      seesNetwork = true,
    } = options;
    this.#options = options;
    this.#entries = meshTasks(scenario);
    this.#profiles = believedProfiles(scenario, believedTimes);
    this.#builder = new OptionBuilder(scenario, seesNetwork);
    const isCascading = hasCascades && scenario.tasks.some(({ cascades = [] }) => cascades.length > 0);
    this.#cascades = isCascading ? new MeshCascades(scenario) : undefined;
    this.#pages = new PageVariants(this.#profiles, this.#cascades);
    this.#scarcity = hasPrices ? new Scarcity() : undefined;
    this.#book = isCalibrated ? new CalibrationBook() : undefined;
    this.#places = new Places({
      tasks: this.#entries,
      profiles: this.#profiles,
      builder: this.#builder,
      book: this.#book,
      isStage: (task, variant) => this.#cascades?.isStage(task, variant) === true,
    });
  }

  start(world: World): void {
    loadStanding(world, (task, { deviceClass }) => this.#places.weighedOn(task, deviceClass));
    this.#report(world);
    if (this.#scarcity !== undefined) this.#observe(this.#scarcity, world);
  }

  arrive(request: SimulatedRequest, world: World): void {
    const entry = this.#entry(request);
    const page = this.#pageOf(request, entry);
    if (this.#options.hasLeases === false && page !== undefined && holds(request, page)) {
      // It asks where to run, and waits for the answer.
      world.at(world.nowMs + request.caller.rttMs, () => this.#decide(request, entry, world));
    } else this.#decide(request, entry, world);
  }

  finished(request: SimulatedRequest, outcome: SimulatedOutcome, world: World): void {
    const placed = this.#placed.get(request.index);
    if (placed === undefined) return;
    this.#placed.delete(request.index);
    if (outcome.kind === 'answered' && placed.cascade !== undefined) {
      this.#cascades?.observe(request.task, placed.cascade, false);
    }
    this.#learn(placed, { ...outcome, tookMs: world.nowMs - placed.sentMs }, world);
  }

  escalated(request: SimulatedRequest, stage: SimulatedStage, world: World): void {
    const entry = this.#entry(request);
    const placed = this.#placed.get(request.index);
    const cascade = placed?.cascade;
    if (placed === undefined || cascade === undefined) throw new Error('Expected a cascade that was placed');
    this.#cascades?.observe(request.task, cascade, true);
    const isHere = stage.worker === undefined;
    // What was predicted of a stage on a worker was predicted with its answer's way back.
    const backMs = isHere ? 0 : this.#builder.network(request.caller, entry.task, 'back').meanMs;
    const tookMs = world.nowMs - placed.sentMs + backMs;
    this.#learn(placed, { ...stage, kind: 'answered', tookMs }, world);

    // Accuracy is the cascade's.
    const rest: MeshTask = {
      task: entry.task,
      spec: { ...entry.spec, minAccuracy: 0 },
      way: isHere ? 'there-and-back' : 'back',
    };
    const options = this.#places.ofWorkers(request, rest, world, cascade.large);
    const page = isHere ? this.#places.ofPage(request, cascade.large, world) : undefined;
    if (page !== undefined) options.push(page);
    this.#choose(request, rest, options, world);
  }

  #decide(request: SimulatedRequest, entry: MeshTask, world: World): void {
    const { task, caller } = request;
    const options = this.#places.ofWorkers(request, entry, world);
    const page = this.#pageOf(request, entry);
    const isThere = page !== undefined && holds(request, page);
    const own = isThere ? this.#places.ofPage(request, page.profile.variant, world) : undefined;
    if (own !== undefined) options.push(own);
    if (this.#cascades !== undefined) {
      const spec = specOf(entry, request);
      options.push(
        ...cascadeOptions(spec, options, this.#cascades.facts(task), {
          rows: 1,
          elapsedMs: world.nowMs - request.arrivalMs,
          network: this.#builder.network(caller, entry.task),
        }),
      );
    }
    if (page !== undefined && !isThere && this.#isWorthFetching(page, entry, options)) {
      world.prepare(caller, task, page.profile.variant);
    }
    this.#choose(request, entry, options, world);
  }

  #choose(request: SimulatedRequest, entry: MeshTask, options: readonly Option[], world: World): void {
    const spec = specOf(entry, request);
    const decision = decide(spec, options, world.nowMs - request.arrivalMs);
    for (const option of passedOver(spec, decision)) {
      this.#book?.passedOver(keyOf(request.task, option), placeOf(option));
    }
    const { choice } = decision;
    if (choice.kind === 'refused') world.refuse(request);
    else this.#place(request, choice.chosen.option, entry, world);
  }

  #place(request: SimulatedRequest, chosen: Option, { task, way }: MeshTask, world: World): void {
    const cascade =
      chosen.second === undefined ? undefined : this.#cascades?.find(request.task, chosen.variant);
    const option = chosen.second?.first ?? chosen;
    const belief = option.tier === 'browser' ? undefined : this.#places.belief(option.worker);
    const key = keyOf(request.task, option);
    const { network, compute } = option.parts;
    this.#placed.set(request.index, {
      key,
      place: placeOf(option),
      predicted: totalLatency(option.parts),
      promised: this.#book?.promise(key),
      belief,
      sentMs: world.nowMs,
      slackMs: request.deadlineMs - world.nowMs - network.meanMs - compute.meanMs,
      cascade,
    });
    if (belief === undefined) {
      world.runInBrowser(request, option.variant, cascade);
      return;
    }
    world.dispatch(request, belief.worker, option.variant, cascade);
    const profile = this.#profiles.find(request.task, option.variant, option.deviceClass);
    if (profile === undefined) return;
    belief.sent(this.#builder.underWay(request, task, profile, world.nowMs, way));
  }

  /** Takes in what came of a request or of a stage. */
  #learn(
    { key, place, predicted, promised, belief, slackMs }: Placed,
    ended: Pick<SimulatedOutcome, 'kind' | 'serviceMs' | 'batchSize'> & { readonly tookMs: number },
    world: World,
  ): void {
    const { kind, serviceMs, batchSize, tookMs } = ended;
    if (kind !== 'refused') {
      this.#book?.observe(key, place, predicted, tookMs, kind === 'dropped', promised);
    }
    if (belief === undefined) return;
    if (kind === 'answered') this.#scarcity?.used(belief, { busyMs: serviceMs / batchSize, slackMs });
    if ((this.#options.reportEveryMs ?? 0) === 0) belief.report(world.nowMs);
  }

  #pageOf({ caller: { deviceClass } }: SimulatedRequest, { task, spec }: MeshTask): PageVariant | undefined {
    return deviceClass === undefined ? undefined : this.#pages.of(deviceClass, task, spec);
  }

  /** A page fetches what makes its requests cheaper, and what the mesh has nobody for. */
  #isWorthFetching(
    { profile, cascade }: PageVariant,
    { task }: MeshTask,
    options: readonly Option[],
  ): boolean {
    const cheapest = (isMeant: (option: Option) => boolean) =>
      Math.min(...options.filter(isMeant).map(({ costPicoUsd }) => costPicoUsd));
    const restPicoUsd =
      cascade === undefined
        ? 0
        : (this.#cascades?.rate(task.task, cascade) ?? 0) *
          cheapest(({ variant, second }) => second === undefined && variant === cascade.large);
    const remotePicoUsd = cheapest(({ accuracy }) => accuracy >= task.minAccuracy);
    return this.#builder.browserCostPicoUsd(profile) + restPicoUsd < remotePicoUsd;
  }

  #entry({ task }: SimulatedRequest): MeshTask {
    const entry = this.#entries.get(task);
    if (entry === undefined) throw new RangeError(`Expected "${task}" to be a task of the scenario`);
    return entry;
  }

  #report(world: World): void {
    const { reportEveryMs = 0 } = this.#options;
    world.at(world.nowMs + (reportEveryMs === 0 ? EVERY_MS : reportEveryMs), () => {
      this.#places.report(world);
      this.#report(world);
    });
  }

  #observe(scarcity: Scarcity, world: World): void {
    world.at(world.nowMs + EVERY_MS, () => {
      scarcity.observe(this.#places.beliefs, world.nowMs);
      this.#builder.prices = scarcity.prices;
      this.#observe(scarcity, world);
    });
  }
}

function holds({ task, caller }: SimulatedRequest, { profile }: PageVariant): boolean {
  return caller.has(replicaOf(task, profile.variant));
}
