import {
  activatedScores,
  cascadeStages,
  confidenceOf,
  type Decision,
  decide,
  fromUsd,
  isConfident,
  type JudgedOption,
  type NearestFeasible,
  type Option,
  type RequestSpec,
  stageForms,
  toUsd,
} from '@nearfar/core';
import { type Cascade, type ClassificationPostprocess, MeshError, type VariantSpec } from '@nearfar/protocol';
import { answer } from './answer.ts';
import { type Decided, decideInPage, decideUnder, PAGE_CALLER } from './decide-in-page.ts';
import { type Execution, type Gate, runHere, runRemotely } from './execute.ts';
import type { InferParts } from './infer-parts.ts';
import { refusalDetails } from './refusal.ts';
import type { PageRequest } from './request.ts';
import type { Answer } from './types.ts';

/** A cascade, the variant that it is, and how a confidence comes from its outputs. */
export interface NamedCascade {
  readonly variant: VariantSpec;
  readonly cascade: Cascade;
  readonly rule: ClassificationPostprocess;
}

/** Why a request that must stay in the page is not answered there. */
interface Obstacle {
  readonly message: string;
  readonly nearest: NearestFeasible;
}

/** The cascade that a request names as its model, if it names one. */
export function namedCascade(request: PageRequest): NamedCascade | undefined {
  return cascadeBy(request, request.spec.model);
}

/** The cascade that was chosen for a request; undefined for a plain option. */
export function cascadeOf(request: PageRequest, { variant, second }: Option): NamedCascade | undefined {
  return second === undefined ? undefined : cascadeBy(request, variant);
}

function cascadeBy({ task }: PageRequest, name: string | undefined): NamedCascade | undefined {
  const variant = task.variants.find((entry) => entry.variant === name);
  const rule = task.postprocess;
  if (variant?.cascade === undefined || rule?.kind !== 'classification') return undefined;
  return { variant, cascade: variant.cascade, rule };
}

/**
 * Answers by a cascade that the request names: the small stage runs in this page where it can, and the mesh is asked for the
 * large one when that is not sure. Where the page cannot take the small stage, or fails at it, the mesh runs both.
 *
 * @returns undefined when the task has another revision by now, for which the request has to be made anew.
 * @throws MeshError `MESH_NO_FEASIBLE_PLACEMENT` when privacy keeps the request in a page that cannot answer it.
 */
export async function inferCascade(
  parts: InferParts,
  request: PageRequest,
  named: NamedCascade,
): Promise<Answer | undefined> {
  const { spec, task } = request;
  const { variant, cascade } = named;
  const isLocal = spec.privacy === 'local_only';
  const runBothRemotely = async (decisions: readonly Decision[]) => {
    const execution = await runRemotely(parts, request);
    return execution && answer(parts, request, execution, decisions);
  };

  const obstacle = obstacleTo(parts, request, named);
  if (obstacle !== undefined) {
    return isLocal ? refuse(parts, request, obstacle) : await runBothRemotely([]);
  }
  const decided = await decideInPage(parts, smallRequest(request, cascade), 'page');
  const { choice } = decided.decision;
  if (choice.kind === 'refused') {
    if (!isLocal) return await runBothRemotely([decided.decision]);
    const message = `The small stage of "${variant.variant}" may not run in this page: ${choice.message}`;
    return refuse(parts, request, { message, nearest: choice.nearest });
  }
  const stages = { request, named, decided, small: choice.chosen };
  return await runStages(parts, stages, async (error) => {
    if (isLocal) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    parts.emit('failover', { task: task.task, from: 'browser', reason });
    return await runBothRemotely([decided.decision]);
  });
}

/**
 * Answers by a cascade that was chosen among all options, and whose small stage is to run here.
 *
 * When its large stage fails, the small one's answer stands in where that is as accurate as the request demands.
 *
 * @param onFailure answers instead when the small stage fails.
 */
export async function answerByCascade(
  parts: InferParts,
  decided: Decided,
  named: NamedCascade,
  chosen: JudgedOption,
  onFailure: (error: unknown) => Promise<Answer | undefined>,
): Promise<Answer | undefined> {
  const first = chosen.option.second?.first ?? chosen.option;
  const stage = smallRequest(decided, named.cascade);
  const [small = chosen] = decide(stage.spec, [first], parts.now() - decided.startedAt).candidates;
  const stages = { request: decided, named, decided, small, standsIn: true };
  return await runStages(parts, stages, onFailure);
}

/** What the stages of a cascade are run for. */
interface Stages {
  readonly request: PageRequest;
  readonly named: NamedCascade;
  /** The decision that chose the small stage. */
  readonly decided: Decided;
  /** The small stage by itself. */
  readonly small: JudgedOption;
  /** Whether the small stage's answer may stand in for that of a large one that failed. */
  readonly standsIn?: boolean;
}

/** Runs the small stage here, and the large one where it has to be. `onFailure` answers instead when the small one fails. */
async function runStages(
  parts: InferParts,
  stages: Stages,
  onFailure: (error: unknown) => Promise<Answer | undefined>,
): Promise<Answer | undefined> {
  const { request, named, decided } = stages;
  const { variant, cascade, rule } = named;
  const { signal, task, spec } = request;
  let confidence = 0;
  let isSure = false;
  let small: Execution;
  try {
    const gate: Gate = (outputs) => {
      const scores = activatedScores(outputs, rule, task.labels);
      confidence = confidenceOf(scores);
      isSure = isConfident(scores, cascade.threshold);
      return { variant: variant.variant, revision: variant.revision, isEscalated: !isSure };
    };
    small = await runHere(parts, decided, stages.small, { gate });
  } catch (error) {
    if (signal.aborted) throw error;
    return await onFailure(error);
  }
  const seen = { escalated: isSure ? 0 : 1, inputs: 1, isReported: true };
  parts.escalations.observe(variant, PAGE_CALLER, seen);
  const bySmall = () => answer(parts, request, ofCascade(small, variant, 'small'), [decided.decision]);
  if (isSure) return bySmall();

  const { costUsd, decisionId } = small.placement;
  const decidedLarge = decideLarge(parts, request, named, decided.lease, costUsd);
  const { decision } = decidedLarge;
  const mayStandIn = stages.standsIn === true && small.placement.accuracy >= spec.minAccuracy;
  if (spec.privacy === 'local_only' && decision.choice.kind === 'refused') {
    if (mayStandIn) return standIn(parts, stages, small);
    const { message: why, nearest } = decision.choice;
    const message = `The small stage of "${variant.variant}" was not sure (${confidence.toFixed(3)}, below ${cascade.threshold}), and its large stage may not run in this page: ${why}`;
    return refuse(parts, request, { message, nearest });
  }
  const chosen = decision.choice.kind === 'refused' ? undefined : decision.choice.chosen;
  let large: Execution | undefined;
  try {
    large =
      chosen?.option.tier === 'browser'
        ? await runHere(parts, decidedLarge, chosen, { decisionId })
        : // Whatever this page predicts of the mesh, the mesh decides for itself whether it can.
          await runRemotely(
            parts,
            { ...decidedLarge, task },
            { predictedMs: chosen?.predictedMs, variant: cascade.large, decisionId },
          );
  } catch (error) {
    if (!mayStandIn || signal.aborted || !(error instanceof MeshError)) throw error;
    return standIn(parts, stages, small);
  }
  return (
    large && answer(parts, request, ofCascade(large, variant, 'large', costUsd), [decided.decision, decision])
  );
}

/** The small stage's answer in place of the large one's: the cascade's, but only as accurate as the small stage. */
function standIn(parts: InferParts, { request, named, decided }: Stages, small: Execution): Answer {
  const { task, outputs, placement } = ofCascade(small, named.variant, 'small');
  const clientMs = parts.now() - request.startedAt;
  const sloMet = clientMs <= request.spec.sloMs;
  const { accuracy } = small.placement;
  const late = { ...placement, accuracy, clientMs, totalMs: clientMs, sloMet };
  return answer(parts, request, { task, outputs, placement: late }, [decided.decision]);
}

/** Why this page cannot take the small stage, however fast it is; undefined when it can. */
function obstacleTo(
  { device }: InferParts,
  { task, rows, spec }: PageRequest,
  { variant: { variant, accuracy }, cascade }: NamedCascade,
): Obstacle | undefined {
  if (rows !== 1) {
    const message = `Expected one input for "${variant}", since a page runs cascades one input at a time, got ${rows}`;
    return { message, nearest: {} };
  }
  if (accuracy.value < spec.minAccuracy) {
    const message = `Accuracy ${accuracy.value} of "${variant}" is below the minimum of ${spec.minAccuracy}`;
    return { message, nearest: { min_accuracy: accuracy.value } };
  }
  if (!stageForms(task.variants, cascade.small).some((form) => device.has(form))) {
    return { message: `The small stage of "${variant}" is not ready in this page`, nearest: {} };
  }
  return undefined;
}

/** What a stage must meet by itself: time, privacy and cost; accuracy is the cascade's. */
function stageRequest(request: PageRequest, stage: string, demands: Partial<RequestSpec>): PageRequest {
  const variants = stageForms(request.task.variants, stage);
  const model = variants[0]?.model;
  const spec = { ...request.spec, model, minAccuracy: 0, ...demands };
  return { ...request, task: { ...request.task, variants }, spec };
}

function smallRequest(request: PageRequest, { small }: Cascade): PageRequest {
  const { privacy, onInfeasible } = request.spec;
  // What would be late here may be on time on the mesh; a payload that may not go there has no other place.
  return stageRequest(request, small, { onInfeasible: privacy === 'local_only' ? onInfeasible : 'reject' });
}

/** Decides where the large stage runs, with what the small one left of time and cost. */
function decideLarge(
  parts: InferParts,
  request: PageRequest,
  { variant, cascade: { large } }: NamedCascade,
  lease: Decided['lease'],
  spentUsd: number,
): Decided {
  const { maxCostPicoUsd: cap } = request.spec;
  const maxCostPicoUsd = cap === undefined ? undefined : Math.max(0, cap - fromUsd(spentUsd));
  const stage = stageRequest(request, large, { maxCostPicoUsd });
  const parameters = {
    ...stage.parameters,
    model: stage.spec.model,
    min_accuracy: 0,
    ...(maxCostPicoUsd !== undefined && { max_cost_usd: toUsd(maxCostPicoUsd) }),
  };
  const stages = cascadeStages(request.task.variants).find((entry) => entry.variant === variant);
  const decision = decideUnder(lease, parts, stage, 'anywhere', 0, stages?.isLarge);
  return { ...stage, parameters, lease, decision };
}

/** A stage's answer as the cascade's: of its outputs, those that the cascade names. */
function ofCascade(
  { task, outputs, placement }: Execution,
  { variant, accuracy, outputs: named }: VariantSpec,
  cascadeStage: 'small' | 'large',
  spentUsd = 0,
): Execution {
  const costUsd = spentUsd + placement.costUsd;
  return {
    task,
    outputs: outputs.filter(({ name }) => named.some((output) => output.name === name)),
    placement: { ...placement, variant, accuracy: accuracy.value, costUsd, cascadeStage },
  };
}

/** What this page has ready may be of a newer revision alone: then there is no answer yet, and no error. */
function refuse(
  { catalog, device }: InferParts,
  { task }: PageRequest,
  { message, nearest }: Obstacle,
): undefined {
  if (catalog.isOutdated(task)) return undefined;
  const details = refusalDetails(device, task.task, nearest);
  throw new MeshError('MESH_NO_FEASIBLE_PLACEMENT', message, { details });
}
