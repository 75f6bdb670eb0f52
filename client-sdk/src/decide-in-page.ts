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
} from '@nearfar/core';
import { type Lease, MeshError, type TaskInfo, type Tensor } from '@nearfar/protocol';
import type { InferParts } from './infer-parts.ts';
import { isSaving } from './page-state.ts';
import type { PageRequest } from './request.ts';

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
  const { device, leases, network, decisions } = parts;
  const { task, spec, signal } = request;
  const payloadBytes = bytesOf(request.inputs);
  decisions.total += 1;
  const holding = leases.holding(task.task);
  const ended = holding === undefined ? leases.ended(task.task) : undefined;
  if (ended !== undefined) {
    // A lease is about sharing what others need too. A request that only this page can answer in time, and could not
    // any more after asking for one, need not wait for it.
    const here = decideUnder(ended, parts, request, reach);
    const later = decideUnder(ended, parts, request, reach, network.path.rtt.meanMs);
    if (here.choice.kind === 'meets-slo' && later.choice.kind !== 'meets-slo') {
      leases.get(task.task, payloadBytes).catch(() => undefined);
      return { ...request, lease: ended, decision: here };
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

/**
 * Decides again under a lease with requests left. Where the mesh grants none, by what the page itself can do; where that
 * is not enough, the mesh is asked all the same, and decides about this request alone.
 */
async function decideRefilled(parts: InferParts, decided: Decided, reach: Reach): Promise<Decided> {
  const { leases, decisions } = parts;
  const { task, signal } = decided;
  let { lease } = decided;
  const asking = leases.refill(task.task, bytesOf(decided.inputs), signal);
  if (asking !== undefined) {
    decisions.waited += 1;
    try {
      lease = await asking;
    } catch (error) {
      // What the mesh has against it, it will say when it is asked for the answer.
      if (signal.aborted || !(error instanceof MeshError)) throw error;
    }
  }
  const again = decideUnder(lease, parts, decided, reach);
  if (!needsMesh(again) || !leases.isUsedUp(task.task)) return { ...decided, lease, decision: again };
  const here = decideUnder(lease, parts, decided, 'page');
  return { ...decided, lease, decision: here.choice.kind === 'meets-slo' ? here : again };
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
  const { device, network, now } = parts;
  // A hidden page asks not to be used, but a payload that may go nowhere else is its own wish.
  const view = device.view(task.task, spec.privacy !== 'local_only' && isSaving());
  // The inputs were made for this revision of the task, and what else is ready would take them for something else.
  const ready = view.ready.filter(({ spec: { variant, revision } }) =>
    task.variants.some((entry) => entry.variant === variant && entry.revision === revision),
  );
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
