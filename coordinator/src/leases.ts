import {
  type CascadeFacts,
  calibratedParts,
  type LatencyParts,
  type LeasedPlace,
  type Option,
  pagePrices,
  type RegisteredTask,
  totalLatency,
  wantedRequests,
} from '@nearfar/core';
import { type Lease, type LeasedOption, type LeaseReport, LIMITS } from '@nearfar/protocol';
import { createLeaseId, readLease } from './auth.ts';
import type { Context } from './context.ts';
import { cascadesFor } from './steps/cascade.ts';

/** For how long a page may decide by itself. Pages ask again well before, for the fleet's newest load. */
const LEASE_TTL_MS = LIMITS.maxLeaseTtlMs;

/**
 * Places of a variant on one tier and device class that a lease tells of: the mesh chooses the worker anew anyway, so that
 * a page only has to know what the best of them would do.
 */
const PLACES_OF_A_CLASS = 2;

/** Who asks for a lease, and for what. */
export interface LeaseApplication {
  readonly task: RegisteredTask;
  readonly subject: string;
  /** Of the page's device, if it told. */
  readonly deviceClass: string | undefined;
  /** The lease that it used before. */
  readonly former: LeaseReport | undefined;
  /** What the workers offer, whatever is demanded, as it looks from here. */
  readonly options: readonly Option[];
}

/** Grants a lease: what the page may decide by itself, and what it has to know for that. */
export async function grantLease(context: Context, application: LeaseApplication): Promise<Lease> {
  const { task, subject, deviceClass, former, options } = application;
  const { clock, secret, prices } = context.options;
  const used = former === undefined ? undefined : await takeLeaseReport(context, subject, former);
  const cascades = cascadesFor(context, task, subject);
  const remote = leasedOptions(options, cascades);
  const now = clock.now();
  const id = crypto.randomUUID();
  const wanted = Math.min(wantedRequests(used ?? 0), LIMITS.maxLeaseRequests);
  const grant = { id, subject, wanted, now, endsAt: now + LEASE_TTL_MS };
  const maxRequests = context.leases.grant(grant, placesOf(context, remote, now));
  const profiles = task.variants.flatMap((variant) => {
    const service =
      deviceClass === undefined ? undefined : context.pageBook.service({ ...variant, deviceClass }, 1);
    if (service === undefined) return [];
    const { compute, samples } = service;
    return [{ variant: variant.variant, revision: variant.revision, compute, samples }];
  });
  return {
    id: await createLeaseId(secret, { id, subject, task: task.task, ttlMs: LEASE_TTL_MS }),
    ttlMs: LEASE_TTL_MS,
    revision: task.revision,
    maxRequests,
    remote: remote.flatMap(leasedOption),
    profiles,
    prices: pagePrices(prices),
    shadowPrices: context.shadowPrices.table,
    escalations: cascades.map(({ variant, revision, escalationRate: rate }) => ({ variant, revision, rate })),
  };
}

/**
 * Takes in what a page did under a lease of its own, while that holds; gives the requests that it sent, undefined when the
 * lease is none, has ended or was reported before.
 */
export async function takeLeaseReport(
  context: Context,
  subject: string,
  { id, remoteRequests, passedOver = [] }: LeaseReport,
): Promise<number | undefined> {
  const lease = await readLease(context.options.secret, id);
  if (lease === undefined || lease.subject !== subject) return undefined;
  context.leases.expire(context.options.clock.now());
  const reported = context.leases.report(lease.id, remoteRequests);
  // A page may say this of as many requests as its lease allowed: more of it would undo corrections that others paid for.
  let left = reported?.granted ?? 0;
  for (const { requests, ...place } of passedOver) {
    const counted = Math.min(requests, left);
    left -= counted;
    if (counted > 0) context.calibrations.passedOver(lease.task, [place], counted);
  }
  return reported?.used;
}

/** What can serve now, cascades' stages also where another variant is better by itself; the best places of each class. */
function leasedOptions(options: readonly Option[], cascades: readonly CascadeFacts[]): Option[] {
  const isStage = (option: Option) =>
    cascades.some(({ isSmall, isLarge }) => isSmall(option) || isLarge(option));
  const open = options.filter(
    (option) =>
      option.blockers.length === 0 ||
      (option.blockers.every(({ code }) => code === 'dominated') && isStage(option)),
  );
  const byClass = Map.groupBy(open, ({ variant, tier, deviceClass }) => `${variant} ${tier} ${deviceClass}`);
  return [...byClass.values()].flatMap((options) => bestOf(options));
}

/** The cheapest of one class, the sooner of equally cheap ones, and the fastest of all. */
function bestOf(options: readonly Option[]): Option[] {
  if (options.length <= PLACES_OF_A_CLASS) return [...options];
  const ranked = options
    .map((option) => ({ option, meanMs: totalLatency(option.parts).meanMs }))
    .sort((a, b) => a.option.costPicoUsd - b.option.costPicoUsd || a.meanMs - b.meanMs);
  const cheapest = ranked.slice(0, PLACES_OF_A_CLASS);
  const fastest = ranked.reduce((best, entry) => (entry.meanMs < best.meanMs ? entry : best));
  return [...new Set([...cheapest, fastest])].map(({ option }) => option);
}

/** What a lease may hold of each worker that it tells of: its time until the lease's end, without what waits there. */
function placesOf(context: Context, options: readonly Option[], now: number): LeasedPlace[] {
  const requestMs = new Map<string, number>();
  for (const { worker, parts } of options) {
    requestMs.set(worker, Math.max(requestMs.get(worker) ?? 0, parts.compute.meanMs));
  }
  return [...requestMs].flatMap(([id, busyMs]) => {
    const worker = context.fleet.find(id);
    if (worker === undefined || !(busyMs > 0)) return [];
    const capacityMs = worker.hello.slots * (LEASE_TTL_MS - worker.load.wait(now).meanMs);
    return [{ worker: id, capacityMs, requestMs: busyMs }];
  });
}

/** With the latency that calibration gives: the page adds its own network, which that says nothing about. */
function leasedOption(option: Option): LeasedOption[] {
  const { variant, revision, model, tier, worker, deviceClass, accuracy, blockers } = option;
  if (tier === 'browser') return [];
  const { costPicoUsd, worstCostPicoUsd, parts, calibration } = option;
  const partsOf = ({ network: link, queue: wait, compute }: LatencyParts) => ({ link, wait, compute });
  const corrected = calibration === undefined ? parts : calibratedParts(parts, calibration);
  return [
    {
      variant,
      revision,
      model,
      tier,
      worker,
      deviceClass,
      accuracy,
      ...partsOf(corrected),
      ...(calibration !== undefined && { uncorrected: partsOf(parts) }),
      costPicoUsd,
      worstCostPicoUsd,
      ...(blockers.length > 0 && { isOnlyStage: true }),
    },
  ];
}
