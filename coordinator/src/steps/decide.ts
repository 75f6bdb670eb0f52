import {
  type Blocker,
  browserCostPicoUsd,
  browserOption,
  type CalibrationCurve,
  calibratedParts,
  type Decision,
  decide,
  type LatencyParts,
  type Option,
  pagePrices,
  quantileMs,
  type RegisteredTask,
  type RequestSpec,
  remoteCostPicoUsd,
  sumMoments,
  workerUsdPerHour,
  ZERO,
} from '@nearfar/core';
import {
  DATATYPE_BYTES,
  elementCount,
  type Moments,
  type PlacementRequest,
  type VariantSpec,
} from '@nearfar/protocol';
import type { Context } from '../context.ts';
import type { FleetWorker } from '../fleet-worker.ts';

/** JSON around the tensors of an answer, in bytes; only the egress price rests on it. */
const ANSWER_OVERHEAD_BYTES = 512;

/** Quantile of the compute time that the worst case is charged at. */
const WORST_CASE_QUANTILE = 0.99;

/** How often a request is decided again after a refusal or a lost worker. */
export const MAX_REDECISIONS = 2;

/** Executions that the worst case pays for: each try may be lost after it has done all of its work. */
const WORST_CASE_EXECUTIONS = 1 + MAX_REDECISIONS;

/** A worker to which this many bytes have not left yet is not reached in time; more would only pile up here. */
const HIGH_WATER_BYTES = 8 * 1024 * 1024;

/** The device report of a page, as it passed its schema. */
export type PageReport = NonNullable<PlacementRequest['device']>;

/** What an estimate needs to know of the request. */
export interface Asked {
  readonly task: RegisteredTask;
  readonly rows: number;
  /** The caller's way to the mesh and back; zero for plain HTTP, whose deadline counts from the request's head. */
  readonly network: Moments;
}

/** Judges every option of a request. `blocked` holds the workers that refused or lost it, with their reasons. */
export function decideRequest(
  context: Context,
  spec: RequestSpec,
  asked: Asked,
  elapsedMs: number,
  blocked: ReadonlyMap<string, string> = new Map(),
): Decision {
  return decide(spec, workerOptions(context, asked, spec, blocked), elapsedMs);
}

/** What of a request's demands says whether a dominating variant could take the place of a dominated one. */
export type Demands = Pick<RequestSpec, 'variant' | 'model' | 'minAccuracy'>;

/**
 * One option for each variant and each worker that can run its format. Without `demands`, as for a lease, they are to do
 * for whatever will be demanded.
 */
export function workerOptions(
  context: Context,
  asked: Asked,
  demands?: Demands,
  blocked: ReadonlyMap<string, string> = new Map(),
): Option[] {
  const { task } = asked;
  const options: Option[] = [];
  for (const worker of context.fleet.list()) {
    const dominators = context.dominance.dominators(task, worker.hello.device.deviceClass);
    for (const variant of task.variants) {
      if (!worker.canRun(variant)) continue;
      const dominator = dominators.get(variant.variant);
      const isDominated =
        dominator !== undefined &&
        worker.replica(dominator)?.state === 'ready' &&
        canReplace(dominator, variant, demands);
      const obstacles = { refusal: blocked.get(worker.id), better: isDominated ? dominator : undefined };
      options.push(workerOption(context, worker, variant, asked, obstacles));
    }
  }
  return options;
}

/**
 * Whether a dominating variant does for a request what the dominated one would. It may be a little less accurate, within
 * what counts as noise, and of another model.
 */
function canReplace(dominator: VariantSpec, variant: VariantSpec, demands: Demands | undefined): boolean {
  if (demands === undefined) {
    return dominator.model === variant.model && dominator.accuracy.value >= variant.accuracy.value;
  }
  if (demands.variant !== undefined) return false;
  if (demands.model !== undefined && dominator.model !== demands.model) return false;
  return dominator.accuracy.value >= demands.minAccuracy;
}

function dominatedBy(better: VariantSpec): Blocker {
  const message = `Variant "${better.variant}" is at least as fast, small and accurate here`;
  return { code: 'dominated', message };
}

/** What keeps an option out besides the state of its worker. */
interface Obstacles {
  readonly refusal: string | undefined;
  /** A ready variant that dominates this one. */
  readonly better: VariantSpec | undefined;
}

function workerOption(
  context: Context,
  worker: FleetWorker,
  variant: VariantSpec,
  asked: Asked,
  obstacles: Obstacles,
): Option {
  const { clock, prices } = context.options;
  const { device, tier } = worker.hello;
  const service = context.book.service({ ...variant, deviceClass: device.deviceClass }, asked.rows);
  const compute = service?.compute ?? ZERO;
  const usdPerHour = workerUsdPerHour(prices, worker.hello);
  const bytes = answerBytes(variant, asked.rows);
  const parts = {
    network: linkTime(worker),
    queue: worker.load.wait(clock.now()),
    compute,
    load: ZERO,
  };
  const worstMs = WORST_CASE_EXECUTIONS * quantileMs(compute, WORST_CASE_QUANTILE);
  return {
    variant: variant.variant,
    revision: variant.revision,
    model: variant.model,
    tier,
    worker: worker.id,
    deviceClass: device.deviceClass,
    accuracy: variant.accuracy.value,
    ...calibrated(parts, context.calibrations.curve(variant, worker), asked.network),
    costPicoUsd: remoteCostPicoUsd(prices, usdPerHour, compute.meanMs, bytes),
    worstCostPicoUsd: remoteCostPicoUsd(prices, usdPerHour, worstMs, bytes),
    blockers: blockersOf(worker, variant, service !== undefined, obstacles),
  };
}

/**
 * The latency from here to the worker and back with its calibration. That knows nothing of the caller's own network: where
 * there is one, the parts are corrected instead, and it is added to them.
 */
function calibrated(
  parts: LatencyParts,
  calibration: CalibrationCurve | undefined,
  network: Moments,
): Pick<Option, 'parts' | 'calibration'> {
  if (network.meanMs === 0) return { parts, ...(calibration !== undefined && { calibration }) };
  const corrected = calibration === undefined ? parts : calibratedParts(parts, calibration);
  return { parts: { ...corrected, network: sumMoments([network, corrected.network]) } };
}

function blockersOf(
  worker: FleetWorker,
  variant: VariantSpec,
  isProfiled: boolean,
  { refusal, better }: Obstacles,
): Blocker[] {
  const blockers: Blocker[] = [];
  const replica = worker.replica(variant);
  const state = worker.state;
  if (refusal !== undefined) blockers.push({ code: 'refused', message: refusal });
  if (better !== undefined) blockers.push(dominatedBy(better));
  if (state === 'draining')
    blockers.push({ code: 'worker-draining', message: 'The worker takes no new work' });
  if (state === 'silent')
    blockers.push({ code: 'worker-silent', message: 'The worker has stopped reporting' });
  if (replica?.state !== 'ready') {
    const why = replica?.reason === undefined ? '' : `: ${replica.reason}`;
    blockers.push({ code: 'not-ready', message: `The variant is ${replica?.state ?? 'not loaded'}${why}` });
  }
  if (!isProfiled)
    blockers.push({ code: 'not-profiled', message: 'Nobody has measured it on this device class' });
  if (worker.bufferedBytes > HIGH_WATER_BYTES) {
    const message = `${worker.bufferedBytes} bytes are still on their way to the worker`;
    blockers.push({ code: 'queue-full', message });
  }
  if (Math.max(worker.load.outstanding, worker.inFlight) >= worker.credits) {
    blockers.push({ code: 'queue-full', message: `All ${worker.credits} credits of the worker are in use` });
  }
  return blockers;
}

/** Options of a page that asks for a placement: the variants that are warm in it, on its class's shared profile. */
export function pageOptions(
  context: Context,
  task: RegisteredTask,
  page: PageReport,
  demands: Demands,
): Option[] {
  const prices = pagePrices(context.options.prices);
  const options: Option[] = [];
  const ready = task.variants.filter(
    ({ variant, revision, format }) =>
      format !== 'cascade' &&
      page.ready.some((entry) => entry.variant === variant && entry.revision === revision),
  );
  const dominators = context.pageDominance.dominators(task, page.deviceClass);
  for (const variant of ready) {
    const service = context.pageBook.service({ ...variant, deviceClass: page.deviceClass }, 1);
    const compute = service?.compute ?? ZERO;
    const view = {
      deviceClass: page.deviceClass,
      backlogMs: page.backlogMs ?? 0,
      isSaving: page.isSaving ?? false,
    };
    const option = browserOption(
      variant,
      view,
      compute,
      browserCostPicoUsd(prices, compute.meanMs, weightBytes(variant)),
    );
    const better = dominators.get(variant.variant);
    const isDominated =
      better !== undefined && ready.includes(better) && canReplace(better, variant, demands);
    const unknown: Blocker = { code: 'not-profiled', message: 'Nobody has measured it on this device class' };
    const blockers = [
      ...option.blockers,
      ...(service === undefined ? [unknown] : []),
      ...(isDominated ? [dominatedBy(better)] : []),
    ];
    options.push({ ...option, blockers });
  }
  return options;
}

/** Bytes that a page downloads in order to run a variant. */
export function weightBytes(variant: VariantSpec): number {
  return variant.artifacts.reduce((sum, artifact) => sum + artifact.sizeBytes, 0);
}

/** Round trip between coordinator and worker, as the worker measures it; its spread is taken as a quarter. */
export function linkTime(worker: FleetWorker): Moments {
  const meanMs = worker.load.load?.rttMs ?? 0;
  return { meanMs, varianceMs2: (meanMs / 4) ** 2 };
}

function answerBytes(variant: VariantSpec, rows: number): number {
  return variant.outputs.reduce((sum, { datatype, shape }) => {
    const elements = elementCount(shape.map((dimension) => (dimension === -1 ? rows : dimension)));
    return sum + elements * DATATYPE_BYTES[datatype];
  }, ANSWER_OVERHEAD_BYTES);
}
