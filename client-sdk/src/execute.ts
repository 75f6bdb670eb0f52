import { explainCandidates, type JudgedOption, type Option, totalLatency, toUsd } from '@nearfar/core';
import { MeshError, type Outcome, type TaskInfo, type Tensor } from '@nearfar/protocol';
import type { Decided } from './decide-in-page.ts';
import type { DeviceRun } from './device.ts';
import { createId } from './ids.ts';
import type { InferParts } from './infer-parts.ts';
import { inferRemotely, type RemoteAnswer } from './remote.ts';
import type { PageRequest } from './request.ts';
import type { AnswerPlacement } from './types.ts';

/** What a place gave for a request. */
export interface Execution {
  /** By which the outputs are to be read. */
  readonly task: TaskInfo;
  readonly outputs: readonly Tensor[];
  readonly placement: AnswerPlacement;
}

/** What the gate of a cascade says of its small stage's outputs, for the report. */
export type Gate = (outputs: readonly Tensor[]) => NonNullable<Outcome['cascade']>;

/** What a run in this page is part of. */
export interface HereRun {
  /** Of the cascade whose small stage it is; what it throws counts as a failed run. */
  readonly gate?: Gate;
  /** Of the decision that this run goes on with; absent = it is one of its own. */
  readonly decisionId?: string;
}

/**
 * Runs the chosen variant in this page, reports how it went, and learns from how long it took.
 *
 * @throws MeshError as `Device.run` does, and what `gate` throws.
 */
export async function runHere(
  parts: InferParts,
  decided: Decided,
  judged: JudgedOption,
  { gate, decisionId = createId() }: HereRun = {},
): Promise<Execution> {
  const { now } = parts;
  const { task, spec, startedAt, signal } = decided;
  const { option } = judged;
  const report = (status: Outcome['status'], measured: Partial<Outcome> = {}) =>
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
      ...measured,
      candidates: spec.explain ? explainCandidates(decided.decision) : [],
    });
  try {
    const { outputs, queueMs, computeMs } = await runAndLearn(parts, decided, option);
    const clientMs = now() - startedAt;
    const cascade = gate?.(outputs);
    report('ok', { queueMs, computeMs, ...(cascade !== undefined && { cascade }) });
    const placement: AnswerPlacement = {
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
    };
    return { task, outputs, placement };
  } catch (error) {
    report(signal.aborted ? 'cancelled' : 'failed');
    throw error;
  }
}

/** Several inputs are predicted as so many runs, which is only a bound: they say nothing about how one is predicted. */
async function runAndLearn(
  { device, calibrations, now }: InferParts,
  { task, inputs, rows, signal }: Decided,
  { variant, revision, tier, deviceClass, worker, parts }: Option,
): Promise<DeviceRun> {
  const key = { task: task.task, variant, revision, tier, deviceClass };
  const promised = calibrations.promise(key);
  const startedAt = now();
  const learn = (isCensored: boolean) => {
    if (rows !== 1) return;
    calibrations.observe(key, worker, totalLatency(parts), now() - startedAt, isCensored, promised);
  };
  try {
    const run = await device.run(key, inputs, signal);
    // What it corrected is no longer predicted.
    if (run.hasDrifted) calibrations.forget(key);
    else learn(false);
    return run;
  } catch (error) {
    // It would have taken longer, nobody knows how much.
    learn(true);
    throw error;
  }
}

/** How the mesh is asked. */
export interface RemoteRun {
  /** What this page predicted; absent when it had not chosen the mesh. */
  readonly predictedMs?: number | undefined;
  /** The only variant that may answer; absent = the mesh chooses. */
  readonly variant?: string;
  /** Of the decision that this run goes on with; absent = the mesh makes one of its own. */
  readonly decisionId?: string;
}

/**
 * Lets the mesh run a request in the time that is left.
 *
 * @returns undefined when the mesh took or refused the inputs as another revision's, to which they mean something else.
 */
export async function runRemotely(
  parts: InferParts,
  request: PageRequest,
  { predictedMs, variant, decisionId }: RemoteRun = {},
): Promise<Execution | undefined> {
  const { api, catalog, leases, network, now } = parts;
  const { task, spec, inputs, parameters, startedAt, signal } = request;
  const roundTripMs = network.path.rtt.meanMs;
  // The mesh's own deadline ends at its socket: what the way there and back takes is ours to leave over.
  const sloMs = Math.max(1, spec.sloMs - (now() - startedAt) - roundTripMs);
  const sentAt = now();
  leases.countSent(task.task);
  let remote: RemoteAnswer;
  try {
    const demands = { ...parameters, slo_ms: sloMs, explain: false };
    remote = await inferRemotely(api, { task: task.task, variant, decisionId }, inputs, demands, signal);
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
  const placement: AnswerPlacement = {
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
    ...(facts.cascade_stage !== undefined && { cascadeStage: facts.cascade_stage }),
  };
  return { task: info, outputs, placement };
}
