import { type Decision, decide, optionsUnderLease } from '@nearfar/core';
import type { Lease, Tensor } from '@nearfar/protocol';
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

/**
 * Decides under the lease that the page holds, or asks for one.
 *
 * @param reach `page`: by what the page itself can do, whatever the mesh offers.
 * @throws MeshError of the mesh, when it gives no lease and there is none to go on with.
 */
export async function decideInPage(
  parts: InferParts,
  request: PageRequest,
  reach: Reach = 'anywhere',
): Promise<Decided> {
  const { device, leases, network } = parts;
  const { task, spec, signal } = request;
  const payloadBytes = bytesOf(request.inputs);
  const ended = leases.holding(task.task) === undefined ? leases.ended(task.task) : undefined;
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
  const isReady = task.variants.some((variant) => device.has(variant));
  const lease = await leases.get(task.task, payloadBytes, {
    signal,
    // Without anything to run, the error of the mesh tells more than a decision among no places.
    useEnded: spec.privacy === 'local_only' ? 'always' : isReady ? 'if-retryable' : 'never',
  });
  return { ...request, lease, decision: decideUnder(lease, parts, request, reach) };
}

/**
 * Decides among the places within `reach`. Of the page those variants count that the request's task lists.
 *
 * @param extraMs what is to be spent before the request can begin.
 */
export function decideUnder(
  lease: Lease,
  { device, network, now }: InferParts,
  { task, inputs, rows, spec, startedAt }: PageRequest,
  reach: Reach,
  extraMs = 0,
): Decision {
  // A hidden page asks not to be used, but a payload that may go nowhere else is its own wish.
  const view = device.view(task.task, spec.privacy !== 'local_only' && isSaving());
  // The inputs were made for this revision of the task, and what else is ready would take them for something else.
  const ready = view.ready.filter(({ spec: { variant, revision } }) =>
    task.variants.some((entry) => entry.variant === variant && entry.revision === revision),
  );
  const page = { ...view, ready, network: network.path };
  const options = optionsUnderLease(lease, page, { rows, payloadBytes: bytesOf(inputs) });
  const reachable = options.filter(
    ({ tier }) => reach === 'anywhere' || (tier === 'browser') === (reach === 'page'),
  );
  return decide(spec, reachable, now() - startedAt + extraMs);
}

function bytesOf(inputs: readonly Tensor[]): number {
  return inputs.reduce((sum, tensor) => sum + tensor.data.byteLength, 0);
}
