import {
  type CascadeFacts,
  cascadeFacts,
  cascadeOptions,
  cascadeStages,
  type Decision,
  decide,
  networkTime,
  type Option,
  optionsUnderLease,
  PAGE_WORKER,
  passedOver,
} from '@nearfar/core';
import { type Lease, MeshError, type TaskInfo, type Tensor } from '@nearfar/protocol';
import type { InferParts } from './infer-parts.ts';
import { isSaving } from './page-state.ts';
import type { PageRequest } from './request.ts';
import { abortable } from './shared-calls.ts';

/** A request with what this page decided about it. */
export interface Decided extends PageRequest {
  readonly lease: Lease;
  readonly decision: Decision;
}

/** Where a request may go: anywhere at first, then where it has not failed. */
export type Reach = 'anywhere' | 'page' | 'mesh';

/** The only caller of a page's own escalation rates. */
export const PAGE_CALLER = 'page';

/** Inputs for which a lease's escalation rate counts until the page has seen enough of its own. */
const LEASED_RATE_INPUTS = 50;

/**
 * Decides under the lease that the page holds, or asks for one: where there is none, and where the mesh is to be asked
 * although the lease is used up.
 *
 * @param reach `page`: by what the page itself can do, whatever the mesh offers.
 * @throws MeshError of the mesh, when it gives no lease and there is none to go on with.
 */
export async function decideInPage(
  parts: InferParts,
  request: PageRequest,
  reach: Reach = 'anywhere',
): Promise<Decided> {
  parts.decisions.total += 1;
  const decided = await decideHolding(parts, request, reach);
  notePassedOver(parts, decided);
  return decided;
}

async function decideHolding(parts: InferParts, request: PageRequest, reach: Reach): Promise<Decided> {
  const { device, leases, decisions } = parts;
  const { task, spec, signal } = request;
  const payloadBytes = bytesOf(request.inputs);
  const holding = leases.holding(task.task);
  const ended = holding === undefined ? leases.ended(task.task) : undefined;
  if (ended !== undefined) {
    const decided = { ...request, lease: ended, decision: decideUnder(ended, parts, request, reach) };
    if (!canWait(parts, decided, reach)) {
      leases.get(task.task, payloadBytes).catch(() => undefined);
      return decided;
    }
  }
  if (holding === undefined) decisions.waited += 1;
  const isReady = task.variants.some((variant) => device.has(variant));
  const lease =
    holding ??
    (await leases.get(task.task, payloadBytes, {
      signal,
      // Without anything to run, the error of the mesh tells more than a decision among no places.
      useEnded: spec.privacy === 'local_only' ? 'always' : isReady ? 'if-retryable' : 'never',
    }));
  const decided = { ...request, lease, decision: decideUnder(lease, parts, request, reach) };
  return needsMesh(decided.decision) && leases.isUsedUp(task.task)
    ? await decideRefilled(parts, decided, reach)
    : decided;
}

/** Decides again under a lease with requests left, as far as the mesh grants one and the request can wait for it. */
async function decideRefilled(parts: InferParts, decided: Decided, reach: Reach): Promise<Decided> {
  const { leases, decisions } = parts;
  const { task, signal } = decided;
  const asking = leases.refill(task.task, bytesOf(decided.inputs));
  if (asking === undefined) return decideBeyond(parts, decided);
  if (!canWait(parts, decided, reach)) {
    asking.catch(() => undefined);
    return decideBeyond(parts, decided);
  }
  decisions.waited += 1;
  let { lease } = decided;
  try {
    lease = await abortable(asking, signal);
  } catch (error) {
    // What the mesh has against it, it will say when it is asked for the answer.
    if (signal.aborted || !(error instanceof MeshError)) throw error;
  }
  const again = { ...decided, lease, decision: decideUnder(lease, parts, decided, reach) };
  return needsMesh(again.decision) && leases.isUsedUp(task.task) ? decideBeyond(parts, again) : again;
}

/**
 * What to do with a request for the mesh that the lease does not let through: what the page itself can do, where that is all
 * that was asked for; else the mesh is asked all the same, and decides about this request alone.
 */
function decideBeyond(parts: InferParts, decided: Decided): Decided {
  const decision = decideUnder(decided.lease, parts, decided, 'page');
  const isEnough = decision.choice.kind === 'meets-slo' && !decision.choice.isDegraded;
  return isEnough ? { ...decided, decision } : decided;
}

/**
 * Whether a request may wait until the mesh has answered about a lease. A lease is about sharing what others need too: one
 * that would be on time now, and not any more after that, goes on without.
 */
function canWait(parts: InferParts, { lease, decision, ...request }: Decided, reach: Reach): boolean {
  if (decision.choice.kind !== 'meets-slo') return true;
  const later = decideUnder(lease, parts, request, reach, parts.network.path.rtt.meanMs);
  return later.choice.kind === 'meets-slo';
}

/**
 * Lets the correction of a place fade that alone kept a request away. Of a place on the mesh the mesh is told, unless it is
 * going to decide about this request itself.
 */
function notePassedOver({ calibrations, leases }: InferParts, { task, spec, decision }: Decided): void {
  const places = passedOver(spec, decision);
  for (const { worker, ...place } of places) {
    if (place.tier === 'browser') calibrations.passedOver({ task: task.task, ...place }, worker);
  }
  if (!needsMesh(decision)) leases.countPassedOver(task.task, places);
}

/** Whether what was chosen begins on the mesh, or may go on there. */
function needsMesh({ choice }: Decision): boolean {
  if (choice.kind === 'refused') return false;
  const { tier, second } = choice.chosen.option;
  return tier !== 'browser' || (second !== undefined && second.option.tier !== 'browser');
}

/**
 * Decides among the places within `reach`, cascades included. Of the page those variants count that the request's task
 * lists.
 *
 * @param extraMs what is to be spent before the request can begin.
 * @param accepts which options count at all; default: every one.
 */
export function decideUnder(
  lease: Lease,
  parts: InferParts,
  { task, inputs, rows, spec, startedAt }: PageRequest,
  reach: Reach,
  extraMs = 0,
  accepts: (option: Option) => boolean = () => true,
): Decision {
  const { device, network, calibrations, now } = parts;
  // A hidden page asks not to be used, but a payload that may go nowhere else is its own wish.
  const view = device.view(task.task, spec.privacy !== 'local_only' && isSaving());
  const { deviceClass } = view;
  const ready = view.ready.flatMap((own) => {
    const { variant, revision } = own.spec;
    // The inputs were made for this revision of the task, and what else is ready would take them for something else.
    const isMeant = task.variants.some((entry) => entry.variant === variant && entry.revision === revision);
    const key = { task: task.task, variant, revision, tier: 'browser', deviceClass };
    return isMeant ? [{ ...own, calibration: calibrations.curve(key, PAGE_WORKER) }] : [];
  });
  const payloadBytes = bytesOf(inputs);
  const page = { ...view, ready, network: network.path };
  const options = optionsUnderLease(lease, page, { rows, payloadBytes }).filter(
    (option) =>
      accepts(option) && (reach === 'anywhere' || (option.tier === 'browser') === (reach === 'page')),
  );
  const elapsedMs = now() - startedAt + extraMs;
  const cascades = cascadeOptions(
    spec,
    // A page runs cascades one input at a time.
    rows === 1 ? options : options.filter(({ tier }) => tier !== 'browser'),
    cascadesUnder(lease, parts, task),
    { rows, elapsedMs, network: networkTime(network.path, payloadBytes) },
  );
  return decide(spec, [...options, ...cascades], elapsedMs);
}

/** The task's cascades with the share of this page's inputs that goes on: as the lease tells, then as the page itself saw. */
function cascadesUnder(
  { escalations: leased }: Lease,
  { escalations }: InferParts,
  { variants, postprocess }: TaskInfo,
): CascadeFacts[] {
  // The gate reads labels with scores.
  if (postprocess?.kind !== 'classification') return [];
  return cascadeStages(variants).map((stages) => {
    const { variant, cascade } = stages;
    const told = leased?.find(
      (entry) => entry.variant === variant.variant && entry.revision === variant.revision,
    );
    const prior =
      told === undefined ? cascade.escalation : { value: told.rate, sampleSize: LEASED_RATE_INPUTS };
    return cascadeFacts(stages, escalations.rate(variant, PAGE_CALLER, prior));
  });
}

function bytesOf(inputs: readonly Tensor[]): number {
  return inputs.reduce((sum, tensor) => sum + tensor.data.byteLength, 0);
}
