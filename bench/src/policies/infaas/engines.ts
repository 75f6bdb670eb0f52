import type { Profile, ProfileTable } from '../../profile-table.ts';
import type { Scenario } from '../../scenario/scenario.ts';

/*
 * INFaaS's "variants": a network on a kind of hardware for a largest batch. TensorRT engines are built for one largest
 * batch, so that on a GPU each size is a variant of its own; on a CPU there is one (released code, `max_batch > 64` means
 * CPU). To tell them from our variants they are called engines here. `[C]` = stanford-mast/INFaaS @4c5ff7b.
 */

/** Batch sizes to which INFaaS fits its line [C: modelreg_server.cc]. */
const FITTED_BATCHES = [1, 4, 8] as const;
/** Largest batch of an online engine [C: constants.h.templ, MAX_ONLINE_BATCH]. */
const MAX_ONLINE_BATCH = 32;
/** Sizes of GPU engines that a person registers [C: model_profile.config.template, inflatb1 to inflatb32]. */
const ENGINE_BATCHES = [1, 4, 8, 16, 32] as const;

/** A line through measured latencies: all that INFaaS knows of a variant's speed. */
export interface LinearFit {
  readonly slopeMs: number;
  readonly interceptMs: number;
}

/** A variant on a device class for a largest batch. */
export interface Engine {
  /** `task/variant@class#batch`. */
  readonly key: string;
  readonly task: string;
  readonly variant: string;
  readonly deviceClass: string;
  readonly isGpu: boolean;
  readonly maxBatch: number;
  /** 0 to 1. */
  readonly accuracy: number;
  readonly loadMs: number;
  readonly fit: LinearFit;
  /** What the selection compares with the SLO: the line at the largest batch on a GPU, at one input on a CPU. */
  readonly latencyMs: number;
}

/**
 * The least-squares line through the mean times of batches of 1, 4 and 8, as far as they were profiled. With fewer than two
 * of them a batch is taken to cost as much as its inputs one by one.
 */
export function fitLine(profile: Profile): LinearFit {
  const points = FITTED_BATCHES.filter((batch) => batch <= profile.maxBatch).map((batch) => ({
    batch,
    ms: profile.service(batch).meanMs,
  }));
  if (points.length < 2) return { slopeMs: points[0]?.ms ?? 0, interceptMs: 0 };
  const meanBatch = points.reduce((sum, { batch }) => sum + batch, 0) / points.length;
  const meanMs = points.reduce((sum, { ms }) => sum + ms, 0) / points.length;
  let covariance = 0;
  let variance = 0;
  for (const { batch, ms } of points) {
    covariance += (batch - meanBatch) * (ms - meanMs);
    variance += (batch - meanBatch) ** 2;
  }
  const slopeMs = covariance / variance;
  return { slopeMs, interceptMs: meanMs - slopeMs * meanBatch };
}

/** Predicted milliseconds of a batch; above 0, since a steep line may start below it. */
export function fittedMs({ slopeMs, interceptMs }: LinearFit, batch: number): number {
  return Math.max(Number.EPSILON, slopeMs * batch + interceptMs);
}

/** All engines of a fleet, by task, each list in the order of accuracy, then of the profile's rows. */
export function createEngines(
  { fleet, tasks }: Pick<Scenario, 'fleet' | 'tasks'>,
  profiles: ProfileTable,
): ReadonlyMap<string, readonly Engine[]> {
  const engines = new Map<string, Engine[]>();
  for (const { task } of tasks) {
    const own = fleet.flatMap(({ deviceClass, tier }) =>
      profiles.ofClass(task, deviceClass).flatMap((profile) => enginesOf(profile, tier === 'pool')),
    );
    engines.set(
      task,
      own.toSorted((a, b) => a.accuracy - b.accuracy),
    );
  }
  return engines;
}

function enginesOf(profile: Profile, isGpu: boolean): Engine[] {
  const { task, variant, deviceClass, accuracy, loadMs } = profile;
  const fit = fitLine(profile);
  const largest = Math.min(MAX_ONLINE_BATCH, profile.maxBatch);
  const sizes = isGpu ? [...new Set([...ENGINE_BATCHES.filter((size) => size < largest), largest])] : [1];
  return sizes.map((maxBatch) => ({
    key: `${task}/${variant}@${deviceClass}#${maxBatch}`,
    task,
    variant,
    deviceClass,
    isGpu,
    maxBatch,
    accuracy,
    loadMs,
    fit,
    latencyMs: fittedMs(fit, maxBatch),
  }));
}
