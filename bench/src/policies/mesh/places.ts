import type { CalibrationBook, CalibrationKey, Option, PlacedVariant, PlacementCurve } from '@nearfar/core';
import { type Profile, ProfileTable, replicaOf } from '../../profile-table.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import type { SimulatedRequest, SimulatedWorker, World } from '../../simulator/policy.ts';
import { WorkerBelief } from './belief.ts';
import type { MeshTask } from './mesh-task.ts';
import { type OptionBuilder, REVISION } from './option-builder.ts';

/** A variant on a worker, with what does not change from request to request. */
interface Offer {
  readonly profile: Profile;
  readonly replica: string;
  readonly curveAt: ((worker: string) => PlacementCurve | undefined) | undefined;
}

/** What places are made of. */
export interface PlaceSources {
  readonly tasks: ReadonlyMap<string, MeshTask>;
  /** As the mesh believes them to be. */
  readonly profiles: ProfileTable;
  readonly builder: OptionBuilder;
  /** Undefined = predictions are not corrected. */
  readonly book: CalibrationBook | undefined;
  /** Whether a variant that is not accurate enough by itself is weighed all the same. */
  readonly isStage: (task: string, variant: string) => boolean;
}

/** Workers and pages as the mesh believes them to be, and what they could do for a request. */
export class Places {
  readonly #sources: PlaceSources;
  readonly #beliefs = new Map<string, WorkerBelief>();
  /** By task and device class. */
  readonly #weighed = new Map<string, readonly Profile[]>();
  readonly #offers = new Map<SimulatedWorker, Map<string, readonly Offer[]>>();

  constructor(sources: PlaceSources) {
    this.#sources = sources;
  }

  get beliefs(): Iterable<WorkerBelief> {
    return this.#beliefs.values();
  }

  /** What is believed of a worker that was weighed. */
  belief(workerId: string): WorkerBelief | undefined {
    return this.#beliefs.get(workerId);
  }

  /** Takes in a load report of each worker. */
  report({ workers, nowMs }: World): void {
    const present = new Set(workers);
    for (const [id, belief] of this.#beliefs) {
      if (present.has(belief.worker)) belief.report(nowMs);
      else {
        this.#beliefs.delete(id);
        this.#offers.delete(belief.worker);
      }
    }
  }

  /** A class's variants of a task that are accurate enough, alone or as a stage. */
  weighedOn(task: string, deviceClass: string): readonly Profile[] {
    const { tasks, profiles, isStage } = this.#sources;
    return found(this.#weighed, `${task}@${deviceClass}`, () => {
      const minAccuracy = tasks.get(task)?.task.minAccuracy ?? 0;
      return profiles
        .ofClass(task, deviceClass)
        .filter(({ accuracy, variant }) => accuracy >= minAccuracy || isStage(task, variant));
    });
  }

  /**
   * What workers that hold a variant could do for a request.
   *
   * @param only of all variants.
   */
  ofWorkers(request: SimulatedRequest, { task, way }: MeshTask, world: World, only?: string): Option[] {
    const options: Option[] = [];
    const { builder } = this.#sources;
    for (const worker of world.workers) {
      if (worker.isDraining) continue;
      const belief = this.#beliefOf(worker, world);
      for (const { profile, replica, curveAt } of this.#offersOf(worker, request.task)) {
        if ((only !== undefined && profile.variant !== only) || !worker.ready.has(replica)) continue;
        const calibration = curveAt?.(worker.id);
        options.push(builder.remote(request, { task, way, belief, profile, calibration }, world.nowMs));
      }
    }
    return options;
  }

  /** What the caller's own device could do; undefined where it does not have the variant. */
  ofPage({ task, caller }: SimulatedRequest, variant: string, { nowMs }: World): Option | undefined {
    const { profiles, builder, book } = this.#sources;
    const { deviceClass } = caller;
    if (deviceClass === undefined || !caller.has(replicaOf(task, variant))) return undefined;
    const profile = profiles.find(task, variant, deviceClass);
    if (profile === undefined) return undefined;
    const key = keyOf(task, { variant, tier: 'browser', deviceClass });
    return builder.browser(caller, profile, nowMs, book?.curve(key, deviceClass));
  }

  #offersOf(worker: SimulatedWorker, task: string): readonly Offer[] {
    const ofWorker = found(this.#offers, worker, () => new Map<string, readonly Offer[]>());
    return found(ofWorker, task, () =>
      this.weighedOn(task, worker.deviceClass).map((profile) => ({
        profile,
        replica: replicaOf(task, profile.variant),
        curveAt: this.#sources.book?.curves(keyOf(task, { ...profile, tier: worker.tier })),
      })),
    );
  }

  #beliefOf(worker: SimulatedWorker, { nowMs }: World): WorkerBelief {
    const { tasks, profiles, builder } = this.#sources;
    return found(this.#beliefs, worker.id, () => {
      const belief = new WorkerBelief(worker, (request, variant, deviceClass) => {
        const task = tasks.get(request.task)?.task;
        const profile = profiles.find(request.task, variant, deviceClass);
        return task && profile && builder.queued(request, task, profile);
      });
      belief.report(nowMs);
      return belief;
    });
  }
}

/** What is calibrated together. */
export function keyOf(
  task: string,
  { variant, tier, deviceClass }: Pick<PlacedVariant, 'variant' | 'tier' | 'deviceClass'>,
): CalibrationKey {
  return { task, variant, revision: REVISION, tier, deviceClass };
}

/** What has a factor of its own: a worker, and all devices of a class, each of which makes few requests. */
export function placeOf({ tier, deviceClass, worker }: PlacedVariant): string {
  return tier === 'browser' ? deviceClass : worker;
}

/** The scenario's profiles, as wrong as the mesh is to believe (`MeshOptions.believedTimes`). */
export function believedProfiles(
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

function found<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
