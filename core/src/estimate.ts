import type { Lease, LeasedOption, Moments, VariantSpec } from '@nearfar/protocol';
import type { CalibrationCurve } from './calibration.ts';
import { browserCostPicoUsd } from './cost.ts';
import { sumMoments, ZERO } from './distribution.ts';
import { NO_PRICES, priceOf } from './prices.ts';
import { blend, type ServiceTime, widen } from './profile.ts';

/** A predicted latency, kept in parts so that it recombines for another tier. */
export interface LatencyParts {
  /** Caller → mesh → worker and back, transfer included. */
  readonly network: Moments;
  /** In the worker's queue until the batch starts. */
  readonly queue: Moments;
  readonly compute: Moments;
  /** Bringing the variant into the worker; 0 when it is there. */
  readonly load: Moments;
}

/** Why an option cannot be taken, whatever the latency. */
export interface Blocker {
  readonly code:
    | 'not-ready'
    | 'worker-draining'
    | 'worker-silent'
    | 'queue-full'
    | 'not-profiled'
    | 'device-saving'
    | 'dominated'
    | 'refused';
  readonly message: string;
}

/** One (variant, worker) with everything that a decision weighs. Plain data, so that it can travel in a lease. */
export interface Option {
  readonly variant: string;
  readonly revision: number;
  readonly model: string;
  readonly tier: 'browser' | 'edge' | 'pool';
  readonly worker: string;
  readonly deviceClass: string;
  readonly accuracy: number;
  readonly parts: LatencyParts;
  /** Expected cost of this request. */
  readonly costPicoUsd: number;
  /** Cost if everything that may go wrong does: a second execution after a refusal. */
  readonly worstCostPicoUsd: number;
  readonly blockers: readonly Blocker[];
  /** Price of what it uses of scarce capacity, besides its cost; absent = 0. Decisions weigh it, accounts never see it. */
  readonly pricePicoUsd?: number;
  /** Corrects the predicted latency by what came of such placements before. */
  readonly calibration?: CalibrationCurve;
  /** The latency as it was predicted before any correction, where one is in `parts` already; absent = none is. */
  readonly uncorrected?: LatencyParts;
  /**
   * Of a cascade: the stage that runs after the one at this place with probability `rate`, and `first`, the small stage by
   * itself. `parts` are the small stage's, costs those of the whole (`cascade-option.ts`).
   */
  readonly second?: { readonly rate: number; readonly option: Option; readonly first: Option };
}

/** What an option costs and what it uses of scarce capacity, at its price, in picodollars. */
export function pricedPicoUsd({ costPicoUsd, pricePicoUsd = 0 }: Option): number {
  return costPicoUsd + pricePicoUsd;
}

/** How a caller reaches the mesh, or a worker its coordinator. */
export interface NetworkPath {
  readonly rtt: Moments;
  /** Undefined = so fast that size does not matter. */
  readonly bytesPerMs: number | undefined;
}

/** Round trip plus the transfer of `bytes`; the transfer's spread is taken as a quarter of its mean. */
export function networkTime(path: NetworkPath, bytes: number): Moments {
  if (path.bytesPerMs === undefined) return path.rtt;
  const meanMs = bytes / path.bytesPerMs;
  const deviation = meanMs / 4;
  return sumMoments([path.rtt, { meanMs, varianceMs2: deviation * deviation }]);
}

/** The whole latency of an option. */
export function totalLatency(parts: LatencyParts): Moments {
  return sumMoments([parts.network, parts.queue, parts.compute, parts.load]);
}

/** A page's own view of itself, for a decision in the page. */
export interface PageView {
  readonly deviceClass: string;
  /** Variants that passed the self-test here and are warm, with what the page itself measured of one input. */
  readonly ready: readonly {
    readonly spec: VariantSpec;
    readonly measured: ServiceTime;
    /** Bytes of the runtime that it needs, as downloaded. */
    readonly runtimeBytes: number;
    /** Corrects what is predicted of it here by what came of such runs before. */
    readonly calibration?: CalibrationCurve | undefined;
  }[];
  /** Wait in the page's own queue, in milliseconds. */
  readonly backlogMs: number;
  /** Hidden page, battery saver or data saver. */
  readonly isSaving: boolean;
  readonly network: NetworkPath;
}

/** Name of the page in decisions; there is one page a caller. */
export const PAGE_WORKER = 'page';

/** What a page asks of its options. */
export interface PageRequest {
  /** Inputs along the batch axis. */
  readonly rows: number;
  readonly payloadBytes: number;
}

/**
 * The options of a page that holds a lease: what it can run itself, and what the mesh offered, seen over the page's
 * own network. A variant that the page has run only a few times is predicted with the help of its device class.
 *
 * Leases and pages know the time of one input; a request with more is taken to need that time for each, which is
 * right on CPUs and careful on GPUs.
 */
export function optionsUnderLease(
  lease: Lease,
  page: PageView,
  { rows, payloadBytes }: PageRequest,
): Option[] {
  const local = page.ready.map(({ spec, measured, runtimeBytes, calibration }): Option => {
    const known = lease.profiles.find(
      ({ variant, revision }) => variant === spec.variant && revision === spec.revision,
    );
    const { compute, samples } = blend(measured, known);
    const service = repeat(widen(compute, samples), rows);
    const weightBytes = spec.artifacts.reduce((sum, artifact) => sum + artifact.sizeBytes, runtimeBytes);
    const costPicoUsd = browserCostPicoUsd(lease.prices, service.meanMs, weightBytes);
    return {
      ...browserOption(spec, page, service, costPicoUsd),
      ...(calibration !== undefined && { calibration }),
    };
  });
  const network = networkTime(page.network, payloadBytes);
  const partsOf = ({
    link,
    wait,
    compute,
  }: Pick<LeasedOption, 'link' | 'wait' | 'compute'>): LatencyParts => ({
    network: sumMoments([network, link]),
    queue: wait,
    compute: repeat(compute, rows),
    load: ZERO,
  });
  const remote = lease.remote.map(
    ({ link, wait, compute, uncorrected, isOnlyStage = false, ...facts }): Option => ({
      ...facts,
      costPicoUsd: facts.costPicoUsd * rows,
      worstCostPicoUsd: facts.worstCostPicoUsd * rows,
      pricePicoUsd: Math.round(
        priceOf(lease.shadowPrices ?? NO_PRICES, facts.tier, facts.deviceClass) * compute.meanMs * rows,
      ),
      parts: partsOf({ link, wait, compute }),
      ...(uncorrected !== undefined && { uncorrected: partsOf(uncorrected) }),
      blockers: isOnlyStage ? [ONLY_A_STAGE] : [],
    }),
  );
  return [...local, ...remote];
}

const ONLY_A_STAGE: Blocker = {
  code: 'dominated',
  message: 'Another variant is at least as fast, small and accurate there; it serves as a stage of cascades',
};

/** The time of `times` runs whose times go together: a slow device is slow in each of them. */
function repeat({ meanMs, varianceMs2 }: Moments, times: number): Moments {
  return { meanMs: meanMs * times, varianceMs2: varianceMs2 * times * times };
}

/** The option of running a variant in the caller's own page. */
export function browserOption(
  spec: Pick<VariantSpec, 'variant' | 'revision' | 'model' | 'accuracy'>,
  page: Pick<PageView, 'deviceClass' | 'backlogMs' | 'isSaving'>,
  compute: Moments,
  costPicoUsd: number,
): Option {
  const deviation = page.backlogMs / 2;
  return {
    variant: spec.variant,
    revision: spec.revision,
    model: spec.model,
    tier: 'browser',
    worker: PAGE_WORKER,
    deviceClass: page.deviceClass,
    accuracy: spec.accuracy.value,
    parts: {
      network: ZERO,
      queue: { meanMs: page.backlogMs, varianceMs2: deviation * deviation },
      compute,
      load: ZERO,
    },
    costPicoUsd,
    // A run in the page that fails is answered by the mesh, whose cost is another option's: the page's own is spent once.
    worstCostPicoUsd: costPicoUsd,
    blockers: page.isSaving
      ? [{ code: 'device-saving', message: 'The page is hidden or saves battery or data' }]
      : [],
  };
}
