import {
  CalibrationBook,
  type CalibrationKey,
  cascadeOptions,
  decide,
  type Option,
  type PlacedVariant,
  type Promised,
  passedOver,
  type RequestSpec,
  resolveSpec,
  totalLatency,
} from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';
import { type Profile, ProfileTable } from '../profile-table.ts';
import type { Scenario, ScenarioCascade, ScenarioTask } from '../scenario/scenario.ts';
import type {
  Policy,
  SimulatedOutcome,
  SimulatedRequest,
  SimulatedStage,
  SimulatedWorker,
  World,
} from '../simulator/policy.ts';
import { WorkerBelief } from './mesh/belief.ts';
import { MeshCascades } from './mesh/cascades.ts';
import type { MeshOptions } from './mesh/mesh-options.ts';
import { OptionBuilder, REVISION, type Way } from './mesh/option-builder.ts';
import { type PageVariant, PageVariants } from './mesh/page-variants.ts';
import { Scarcity } from './mesh/scarcity.ts';
import { loadStanding } from './standing.ts';

export type { MeshOptions } from './mesh/mesh-options.ts';

/** Milliseconds between two load reports of a worker that answers nothing, and between two looks at what is scarce. */
const EVERY_MS = 1_000;

/** The mesh itself: the same core as the coordinator's and the page's. */
export function mesh(scenario: Scenario, options: MeshOptions = {}): Policy {
  return new MeshPolicy(scenario, options);
}

/** A task with its demands in core's words. */
interface Entry {
  readonly task: ScenarioTask;
  readonly spec: RequestSpec;
  /** What of its way is still ahead. */
  readonly way: Way;
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
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #profiles: ProfileTable;
  readonly #builder: OptionBuilder;
  readonly #cascades: MeshCascades | undefined;
  readonly #pages: PageVariants;
  readonly #scarcity: Scarcity | undefined;
  readonly #book = new CalibrationBook();
  /** By worker id. */
  readonly #beliefs = new Map<string, WorkerBelief>();
  readonly #placed = new Map<number, Placed>();
  /** By task and device class, what is weighed there. */
  readonly #weighed = new Map<string, readonly Profile[]>();

  constructor(scenario: Scenario, options: MeshOptions) {
    const { believedTimes = {}, hasCascades = true, hasPrices = true, seesNetwork = true } = options;
    this.#options = options;
    this.#entries = new Map(
      scenario.tasks.map((task) => {
        const { sloMs, sloTarget, minAccuracy, prefer } = task;
        const target = sloTarget === undefined ? {} : { slo_target: sloTarget };
        const spec = resolveSpec({ slo_ms: sloMs, ...target, min_accuracy: minAccuracy, prefer }, {});
        return [task.task, { task, spec, way: 'there-and-back' }];
      }),
    );
    this.#profiles = believedProfiles(scenario, believedTimes);
    this.#builder = new OptionBuilder(scenario, seesNetwork);
    const isCascading = hasCascades && scenario.tasks.some(({ cascades = [] }) => cascades.length > 0);
    this.#cascades = isCascading ? new MeshCascades(scenario) : undefined;
    this.#pages = new PageVariants(this.#profiles, this.#cascades);
    this.#scarcity = hasPrices ? new Scarcity() : undefined;
  }

  start(world: World): void {
    loadStanding(world, (task, worker) => this.#weighedOn(worker.deviceClass, task));
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
    const rest: Entry = {
      task: entry.task,
      spec: { ...entry.spec, minAccuracy: 0 },
      way: isHere ? 'there-and-back' : 'back',
    };
    const options = this.#remoteOptions(request, rest, world, ({ variant }) => variant === cascade.large);
    const page = isHere ? this.#pageOption(request, cascade.large, world) : undefined;
    if (page !== undefined) options.push(page);
    this.#choose(request, rest, options, world);
  }

  #decide(request: SimulatedRequest, entry: Entry, world: World): void {
    const { task, caller } = request;
    const options = this.#remoteOptions(request, entry, world);
    const page = this.#pageOf(request, entry);
    const isThere = page !== undefined && holds(request, page);
    const own = isThere ? this.#pageOption(request, page.profile.variant, world) : undefined;
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

  #choose(request: SimulatedRequest, entry: Entry, options: readonly Option[], world: World): void {
    const spec = specOf(entry, request);
    const decision = decide(spec, options, world.nowMs - request.arrivalMs);
    for (const option of passedOver(spec, decision)) {
      this.#book.passedOver(keyOf(request.task, option), placeOf(option));
    }
    const { choice } = decision;
    if (choice.kind === 'refused') world.refuse(request);
    else this.#place(request, choice.chosen.option, entry, world);
  }

  #place(request: SimulatedRequest, chosen: Option, { task, way }: Entry, world: World): void {
    const cascade =
      chosen.second === undefined ? undefined : this.#cascades?.find(request.task, chosen.variant);
    const option = chosen.second?.first ?? chosen;
    const belief = option.tier === 'browser' ? undefined : this.#beliefs.get(option.worker);
    const key = keyOf(request.task, option);
    const { network, compute } = option.parts;
    this.#placed.set(request.index, {
      key,
      place: placeOf(option),
      predicted: totalLatency(option.parts),
      promised: this.#isCalibrated ? this.#book.promise(key) : undefined,
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
    if (this.#isCalibrated && kind !== 'refused') {
      this.#book.observe(key, place, predicted, tookMs, kind === 'dropped', promised);
    }
    if (belief === undefined) return;
    if (kind === 'answered') this.#scarcity?.used(belief, { busyMs: serviceMs / batchSize, slackMs });
    if ((this.#options.reportEveryMs ?? 0) === 0) belief.report(world.nowMs);
  }

  /** What workers that hold a variant could do for a request. */
  #remoteOptions(
    request: SimulatedRequest,
    { task, way }: Entry,
    world: World,
    isWeighed: (profile: Profile) => boolean = () => true,
  ): Option[] {
    const options: Option[] = [];
    for (const worker of world.workers) {
      if (worker.isDraining) continue;
      const belief = this.#belief(worker, world);
      for (const profile of this.#weighedOn(worker.deviceClass, request.task)) {
        if (!isWeighed(profile) || !worker.ready.has(`${request.task}/${profile.variant}`)) continue;
        const option = this.#builder.remote(request, task, belief, profile, world.nowMs, way);
        options.push(this.#calibrated(option, request.task));
      }
    }
    return options;
  }

  /** What the caller's own device could do, if it has the variant. */
  #pageOption({ task, caller }: SimulatedRequest, variant: string, world: World): Option | undefined {
    const profile =
      caller.deviceClass === undefined || !caller.has(`${task}/${variant}`)
        ? undefined
        : this.#profiles.find(task, variant, caller.deviceClass);
    return profile && this.#calibrated(this.#builder.browser(caller, profile, world.nowMs), task);
  }

  #pageOf({ caller: { deviceClass } }: SimulatedRequest, { task, spec }: Entry): PageVariant | undefined {
    return deviceClass === undefined ? undefined : this.#pages.of(deviceClass, task, spec);
  }

  /** A page fetches what makes its requests cheaper, and what the mesh has nobody for. */
  #isWorthFetching({ profile, cascade }: PageVariant, { task }: Entry, options: readonly Option[]): boolean {
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

  /** A class's variants that are accurate enough, alone or as a stage. */
  #weighedOn(deviceClass: string, task: string): readonly Profile[] {
    const key = `${task}@${deviceClass}`;
    let weighed = this.#weighed.get(key);
    if (weighed === undefined) {
      const minAccuracy = this.#entries.get(task)?.task.minAccuracy ?? 0;
      weighed = this.#profiles
        .ofClass(task, deviceClass)
        .filter(
          ({ accuracy, variant }) =>
            accuracy >= minAccuracy || this.#cascades?.isStage(task, variant) === true,
        );
      this.#weighed.set(key, weighed);
    }
    return weighed;
  }

  get #isCalibrated(): boolean {
    return this.#options.isCalibrated ?? true;
  }

  #calibrated(option: Option, task: string): Option {
    if (!this.#isCalibrated) return option;
    const calibration = this.#book.curve(keyOf(task, option), placeOf(option));
    return calibration === undefined ? option : { ...option, calibration };
  }

  #entry({ task }: SimulatedRequest): Entry {
    const entry = this.#entries.get(task);
    if (entry === undefined) throw new RangeError(`Expected "${task}" to be a task of the scenario`);
    return entry;
  }

  #belief(worker: SimulatedWorker, world: World): WorkerBelief {
    let belief = this.#beliefs.get(worker.id);
    if (belief === undefined) {
      belief = new WorkerBelief(worker, (request, variant, deviceClass) => {
        const profile = this.#profiles.find(request.task, variant, deviceClass);
        return profile && this.#builder.queued(request, this.#entry(request).task, profile);
      });
      belief.report(world.nowMs);
      this.#beliefs.set(worker.id, belief);
    }
    return belief;
  }

  #report(world: World): void {
    const { reportEveryMs = 0 } = this.#options;
    world.at(world.nowMs + (reportEveryMs === 0 ? EVERY_MS : reportEveryMs), () => {
      const present = new Set(world.workers);
      for (const [id, belief] of this.#beliefs) {
        if (present.has(belief.worker)) belief.report(world.nowMs);
        else this.#beliefs.delete(id);
      }
      this.#report(world);
    });
  }

  #observe(scarcity: Scarcity, world: World): void {
    world.at(world.nowMs + EVERY_MS, () => {
      scarcity.observe(this.#beliefs.values(), world.nowMs);
      this.#builder.prices = scarcity.prices;
      this.#observe(scarcity, world);
    });
  }
}

/** The scenario's profiles, as wrong as the mesh is to believe. */
function believedProfiles(
  { profiles }: Scenario,
  believedTimes: Readonly<Record<string, number>>,
): ProfileTable {
  return new ProfileTable(
    profiles.map(({ p50Ms, p90Ms, p99Ms, ...row }) => {
      const times = believedTimes[row.deviceClass] ?? 1;
      return {
        ...row,
        ...(p50Ms !== undefined && { p50Ms: p50Ms * times }),
        ...(p90Ms !== undefined && { p90Ms: p90Ms * times }),
        ...(p99Ms !== undefined && { p99Ms: p99Ms * times }),
      };
    }),
  );
}

/** With the deadline of the request, where its trace names one. */
function specOf({ spec }: Entry, { deadlineMs, arrivalMs }: SimulatedRequest): RequestSpec {
  const sloMs = deadlineMs - arrivalMs;
  return sloMs === spec.sloMs ? spec : { ...spec, sloMs };
}

function holds({ task, caller }: SimulatedRequest, { profile }: PageVariant): boolean {
  return caller.has(`${task}/${profile.variant}`);
}

function keyOf(task: string, { variant, tier, deviceClass }: PlacedVariant): CalibrationKey {
  return { task, variant, revision: REVISION, tier, deviceClass };
}

/** What has a factor of its own: a worker, and all devices of a class, each of which makes few requests. */
function placeOf({ tier, deviceClass, worker }: PlacedVariant): string {
  return tier === 'browser' ? deviceClass : worker;
}
