import {
  type Blocker,
  browserCostPicoUsd,
  browserOption,
  calibratedParts,
  canReplace,
  type LatencyParts,
  type Option,
  pagePrices,
  type RegisteredTask,
  type RequestSpec,
  sumMoments,
  ZERO,
} from '@nearfar/core';
import type { Moments, PlacementRequest, VariantSpec } from '@nearfar/protocol';
import type { Context } from '../context.ts';
import { isJammed, linkTime } from '../fleet-index.ts';
import type { FleetWorker } from '../fleet-worker.ts';

/** More options than this are not weighed one by one. */
export const MAX_WEIGHED_OPTIONS = 256;

/** The device report of a page, as it passed its schema. */
export type PageReport = NonNullable<PlacementRequest['device']>;

/** What an estimate needs to know of the request. */
export interface Asked {
  readonly task: RegisteredTask;
  readonly rows: number;
  /** The caller's way to the mesh and back; zero for plain HTTP, whose deadline counts from the request's head. */
  readonly network: Moments;
}

/** What of a request's demands its options rest on: whether a dominating variant does as well, and how long it would wait. */
export type Demands = Pick<RequestSpec, 'variant' | 'model' | 'minAccuracy' | 'priority'>;

/**
 * One option for each variant and each worker that can run its format. Without `demands`, as for a lease, they are to do
 * for whatever will be demanded.
 */
export function workerOptions(
  context: Context,
  { task, rows, network }: Asked,
  demands?: Demands,
  blocked: ReadonlyMap<string, string> = new Map(),
): Option[] {
  const offers = context.places.offersOf(task, rows);
  const now = context.options.clock.now();
  const options: Option[] = [];
  for (const worker of weighedWorkers(context, task)) {
    const kind = context.places.kindOf(worker);
    const wait = worker.load.wait(now, demands?.priority);
    const link = linkTime(worker);
    const dominators = offers.dominators(kind.deviceClass);
    for (const variant of task.variants) {
      if (!worker.canRun(variant)) continue;
      const better = dominators.get(variant.variant);
      const isDominated =
        better !== undefined &&
        worker.replica(better)?.state === 'ready' &&
        canReplaceFor(better, variant, demands);
      const numbers = offers.numbers(variant, kind);
      const { compute, isProfiled, costPicoUsd, worstCostPicoUsd, pricePicoUsd } = numbers;
      const obstacles = { refusal: blocked.get(worker.id), better: isDominated ? better : undefined };
      const calibration = numbers.curveAt(worker.id);
      const option: Option = {
        variant: variant.variant,
        revision: variant.revision,
        model: variant.model,
        tier: kind.tier,
        worker: worker.id,
        deviceClass: kind.deviceClass,
        accuracy: variant.accuracy.value,
        parts: { network: link, queue: wait, compute, load: ZERO },
        costPicoUsd,
        worstCostPicoUsd,
        pricePicoUsd,
        blockers: blockersOf(worker, variant, isProfiled, obstacles),
        ...(calibration !== undefined && { calibration }),
      };
      options.push(network.meanMs > 0 ? seenOver(network, option) : option);
    }
  }
  return options;
}

/** Of a large fleet one worker of each kind: what differs among the others is how long they would have to wait. */
function weighedWorkers(context: Context, { variants }: RegisteredTask): readonly FleetWorker[] {
  const { fleet, places } = context;
  return fleet.size * variants.length <= MAX_WEIGHED_OPTIONS ? fleet.list() : places.samples();
}

/** Whether a dominating variant does for a request what the dominated one would; for a lease, for any request. */
function canReplaceFor(better: VariantSpec, variant: VariantSpec, demands: Demands | undefined): boolean {
  const dominator = { model: better.model, accuracy: better.accuracy.value };
  if (demands !== undefined) return canReplace(dominator, demands);
  return dominator.model === variant.model && dominator.accuracy >= variant.accuracy.value;
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

/**
 * An option as a caller sees it from beyond its own network. That is nothing that the option's calibration knows of: the
 * parts are corrected instead, and it is added to them.
 */
export function seenOver(network: Moments, { calibration, ...option }: Option): Option {
  const over = (parts: LatencyParts): LatencyParts => ({
    ...parts,
    network: sumMoments([network, parts.network]),
  });
  if (calibration === undefined) return { ...option, parts: over(option.parts) };
  return {
    ...option,
    parts: over(calibratedParts(option.parts, calibration)),
    uncorrected: over(option.parts),
  };
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
  if (isJammed(worker)) {
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
      better !== undefined && ready.includes(better) && canReplaceFor(better, variant, demands);
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
