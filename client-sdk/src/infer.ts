import {
  type Decision,
  decide,
  explainCandidates,
  type JudgedOption,
  optionsUnderLease,
  predict,
  toUsd,
} from '@nearfar/core';
import { type Lease, MeshError, type Tensor, type Tier } from '@nearfar/protocol';
import type { Api } from './api.ts';
import type { Device } from './device.ts';
import type { Emit } from './events.ts';
import { createId } from './ids.ts';
import type { Leases } from './lease.ts';
import type { NetworkMeter } from './network.ts';
import type { OutcomeReporter } from './outcomes.ts';
import { isSaving } from './page-state.ts';
import { inferRemotely, type RemoteAnswer } from './remote.ts';
import type { PageRequest } from './request.ts';
import type { TaskCatalog } from './task-catalog.ts';
import type { Answer, AnswerPlacement } from './types.ts';

/** What answering needs. */
export interface InferParts {
  readonly api: Api;
  readonly catalog: Pick<TaskCatalog, 'infoFor' | 'isOutdated' | 'refresh'>;
  readonly device: Device;
  readonly leases: Leases;
  readonly network: NetworkMeter;
  readonly outcomes: OutcomeReporter;
  readonly emit: Emit;
  readonly now: () => number;
}

/** A request with what this page decided about it. */
interface Decided extends PageRequest {
  readonly lease: Lease;
  readonly decision: Decision;
}

/** Where a request may go: anywhere at first, then where it has not failed. */
type Reach = 'anywhere' | 'page' | 'mesh';

/**
 * Decides in this page, under a lease and by the same policy as the mesh, and answers. When the place fails, what is
 * left of the places and of the time is decided upon in the same way: the page after the mesh, the mesh after the page.
 *
 * @returns undefined when the task has another revision by now, for which the request has to be made anew.
 */
export async function inferDecided(parts: InferParts, request: PageRequest): Promise<Answer | undefined> {
  const decided = await decideInPage(parts, request);
  const { choice } = decided.decision;
  if (choice.kind === 'refused') {
    // What this page has ready may be of the newer revision alone.
    if (parts.catalog.isOutdated(request.task)) return undefined;
    throw refusal(parts.device, decided, choice);
  }
  const { chosen } = choice;
  try {
    return chosen.option.tier === 'browser'
      ? await runHere(parts, decided, chosen)
      : await runRemotely(parts, decided, chosen.predictedMs);
  } catch (error) {
    const { signal, spec, task } = decided;
    if (signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const failover = (from: Tier) => parts.emit('failover', { task: task.task, from, reason });
    if (chosen.option.tier === 'browser') {
      if (spec.privacy === 'local_only') throw error;
      failover('browser');
      const decision = decideUnder(decided.lease, parts, decided, 'mesh');
      // Whatever this page predicts of the mesh, the mesh decides for itself whether it can.
      const next = decision.choice.kind === 'refused' ? undefined : decision.choice.chosen;
      return await runRemotely(parts, { ...decided, decision }, next?.predictedMs);
    }
    const decision = decideUnder(decided.lease, parts, decided, 'page');
    if (decision.choice.kind === 'refused' || !isWorthAnotherTier(error)) throw error;
    failover(chosen.option.tier);
    return await runHere(parts, { ...decided, decision }, decision.choice.chosen);
  }
}

async function decideInPage(parts: InferParts, request: PageRequest): Promise<Decided> {
  const { device, leases, network } = parts;
  const { task, spec, signal } = request;
  const payloadBytes = bytesOf(request.inputs);
  const ended = leases.holding(task.task) === undefined ? leases.ended(task.task) : undefined;
  if (ended !== undefined) {
    // A lease is about sharing what others need too. A request that only this page can answer in time, and could not
    // any more after asking for one, need not wait for it.
    const here = decideUnder(ended, parts, request, 'anywhere');
    const later = decideUnder(ended, parts, request, 'anywhere', network.path.rtt.meanMs);
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
  return { ...request, lease, decision: decideUnder(lease, parts, request, 'anywhere') };
}

/** @param extraMs what is to be spent before the request can begin. */
function decideUnder(
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

async function runHere(parts: InferParts, decided: Decided, judged: JudgedOption): Promise<Answer> {
  const { device, now } = parts;
  const { task, spec, inputs, startedAt, signal } = decided;
  const { option } = judged;
  const decisionId = createId();
  const report = (status: 'ok' | 'failed' | 'cancelled', queueMs?: number, computeMs?: number) =>
    parts.outcomes.add({
      task: task.task,
      variant: option.variant,
      revision: option.revision,
      tier: 'browser',
      deviceClass: option.deviceClass,
      leaseId: decided.lease.id,
      decisionId,
      privacy: spec.privacy,
      status,
      sloMs: spec.sloMs,
      predictedMs: judged.predictedMs,
      totalMs: now() - startedAt,
      ...(queueMs !== undefined && { queueMs }),
      ...(computeMs !== undefined && { computeMs }),
      candidates: spec.explain ? explainCandidates(decided.decision) : [],
    });
  try {
    const { outputs, queueMs, computeMs } = await device.run({ ...option, task: task.task }, inputs, signal);
    const clientMs = now() - startedAt;
    report('ok', queueMs, computeMs);
    return answer(parts, decided, outputs, {
      tier: 'browser',
      variant: option.variant,
      worker: option.worker,
      accuracy: option.accuracy,
      predictedMs: judged.predictedMs,
      totalMs: clientMs,
      clientMs,
      costUsd: toUsd(option.costPicoUsd),
      sloMet: clientMs <= spec.sloMs,
      decisionId,
    });
  } catch (error) {
    report(signal.aborted ? 'cancelled' : 'failed');
    throw error;
  }
}

/**
 * @param predictedMs what this page predicted; absent when it had not chosen the mesh.
 * @returns undefined when the mesh took or refused the inputs as another revision's, to which they mean something else.
 */
async function runRemotely(
  parts: InferParts,
  decided: Decided,
  predictedMs: number | undefined,
): Promise<Answer | undefined> {
  const { api, catalog, network, now } = parts;
  const { task, spec, inputs, parameters, startedAt, signal } = decided;
  const roundTripMs = network.path.rtt.meanMs;
  // The mesh's own deadline ends at its socket: what the way there and back takes is ours to leave over.
  const sloMs = Math.max(1, spec.sloMs - (now() - startedAt) - roundTripMs);
  const sentAt = now();
  let remote: RemoteAnswer;
  try {
    const demands = { ...parameters, slo_ms: sloMs, explain: false };
    remote = await inferRemotely(api, task.task, inputs, demands, signal);
  } catch (error) {
    // They were checked here: what the mesh has against them, it may have since a newer revision.
    if (!(error instanceof MeshError) || error.code !== 'MESH_BAD_TENSOR') throw error;
    await catalog.refresh(task.task, signal);
    if (catalog.isOutdated(task)) return undefined;
    throw error;
  }
  const { outputs, facts } = remote;
  network.add(now() - sentAt - facts.total_ms);
  const info = await catalog.infoFor(task, facts.revision ?? task.revision, signal);
  if (info === undefined) return undefined;
  const clientMs = now() - startedAt;
  return answer(parts, { ...decided, task: info }, outputs, {
    tier: facts.tier,
    variant: facts.variant,
    worker: facts.worker,
    accuracy: facts.accuracy,
    predictedMs: predictedMs ?? sentAt - startedAt + roundTripMs + facts.predicted_ms,
    totalMs: facts.total_ms,
    clientMs,
    costUsd: facts.cost_usd,
    sloMet: clientMs <= spec.sloMs,
    decisionId: facts.decision_id,
  });
}

function answer(
  parts: InferParts,
  { task, rows, spec, decision }: Decided,
  outputs: readonly Tensor[],
  placement: AnswerPlacement,
): Answer {
  parts.emit('outcome', { ...placement, task: task.task });
  const rule = rows === 1 ? task.postprocess : undefined;
  return {
    predictions: rule === undefined ? [] : predict(outputs, rule, task.labels),
    outputs,
    placement,
    ...(spec.explain && { explanation: explainCandidates(decision) }),
  };
}

/** Whether the mesh failed in a way that says nothing against the request itself. */
function isWorthAnotherTier(error: unknown): boolean {
  return error instanceof MeshError && error.retryable;
}

function refusal(
  device: Device,
  { task, spec, decision }: Decided,
  { message, nearest }: Extract<Decision['choice'], { kind: 'refused' }>,
): MeshError {
  const unavailable = device.unavailable.filter((entry) => entry.task === task.task);
  const details = { nearest, ...(unavailable.length > 0 && { unavailable }) };
  if (decision.candidates.length === 0 && spec.privacy !== 'local_only') {
    return new MeshError('MESH_NO_CAPACITY', message, { details, retryAfterSeconds: 1 });
  }
  return new MeshError('MESH_NO_FEASIBLE_PLACEMENT', message, { details });
}
