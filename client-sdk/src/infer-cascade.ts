import {
  activatedScores,
  confidenceOf,
  type Decision,
  fromUsd,
  isConfident,
  type NearestFeasible,
  type RequestSpec,
  toUsd,
} from '@nearfar/core';
import { type Cascade, type ClassificationPostprocess, MeshError, type VariantSpec } from '@nearfar/protocol';
import { answer } from './answer.ts';
import { type Decided, decideInPage, decideUnder } from './decide-in-page.ts';
import { type Execution, runHere, runRemotely } from './execute.ts';
import type { InferParts } from './infer-parts.ts';
import { refusalDetails } from './refusal.ts';
import type { PageRequest } from './request.ts';
import type { Answer } from './types.ts';

/** A cascade, the variant that it is, and how a confidence comes from its outputs. */
interface NamedCascade {
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
export function namedCascade({ task, spec }: PageRequest): NamedCascade | undefined {
  const variant = task.variants.find((entry) => entry.variant === spec.model);
  const rule = task.postprocess;
  if (variant?.cascade === undefined || rule?.kind !== 'classification') return undefined;
  return { variant, cascade: variant.cascade, rule };
}

/**
 * Answers by a cascade: the small stage runs in this page where it can, and the mesh is asked for the large one when that
 * is not sure. Where the page cannot take the small stage, or fails at it, the mesh runs both.
 *
 * @returns undefined when the task has another revision by now, for which the request has to be made anew.
 * @throws MeshError `MESH_NO_FEASIBLE_PLACEMENT` when privacy keeps the request in a page that cannot answer it.
 */
export async function inferCascade(
  parts: InferParts,
  request: PageRequest,
  named: NamedCascade,
): Promise<Answer | undefined> {
  const { spec, signal, task } = request;
  const { variant, cascade, rule } = named;
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

  let small: Execution;
  let scores: readonly number[];
  try {
    small = await runHere(parts, decided, choice.chosen);
    scores = activatedScores(small.outputs, rule, task.labels);
  } catch (error) {
    if (signal.aborted || isLocal) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    parts.emit('failover', { task: task.task, from: 'browser', reason });
    return await runBothRemotely([decided.decision]);
  }
  if (isConfident(scores, cascade.threshold)) {
    return answer(parts, request, ofCascade(small, variant, 'small'), [decided.decision]);
  }

  const { costUsd } = small.placement;
  const decidedLarge = decideLarge(parts, request, cascade, decided.lease, costUsd);
  const { decision } = decidedLarge;
  if (isLocal && decision.choice.kind === 'refused') {
    const confidence = confidenceOf(scores).toFixed(3);
    const { message: why, nearest } = decision.choice;
    const message = `The small stage of "${variant.variant}" was not sure (${confidence}, below ${cascade.threshold}), and its large stage may not run in this page: ${why}`;
    return refuse(parts, request, { message, nearest });
  }
  const chosen = decision.choice.kind === 'refused' ? undefined : decision.choice.chosen;
  const large =
    chosen?.option.tier === 'browser'
      ? await runHere(parts, decidedLarge, chosen)
      : // Whatever this page predicts of the mesh, the mesh decides for itself whether it can.
        await runRemotely(parts, { ...decidedLarge, task }, chosen?.predictedMs, cascade.large);
  return (
    large && answer(parts, request, ofCascade(large, variant, 'large', costUsd), [decided.decision, decision])
  );
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
  if (!formsOf(task, cascade.small).some((form) => device.has(form))) {
    return { message: `The small stage of "${variant}" is not ready in this page`, nearest: {} };
  }
  return undefined;
}

/**
 * What can run a stage: its variant, and for one in fp32 the model's others in fp32 and fp16. Their scores differ by less than
 * the whole percents in which a threshold is chosen: logits to 1e-3 and 6e-3.
 */
function formsOf({ variants }: PageRequest['task'], stage: string): PageRequest['task']['variants'] {
  const named = variants.find(({ variant }) => variant === stage);
  const isAlike = ({ precision, model }: VariantSpec) =>
    (precision === 'fp32' || precision === 'fp16') && model === named?.model;
  return variants.filter((entry) => entry === named || (named?.precision === 'fp32' && isAlike(entry)));
}

/** What a stage must meet by itself: time, privacy and cost; accuracy is the cascade's. */
function stageRequest(request: PageRequest, stage: string, demands: Partial<RequestSpec>): PageRequest {
  const variants = formsOf(request.task, stage);
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
  { large }: Cascade,
  lease: Decided['lease'],
  spentUsd: number,
): Decided {
  const { maxCostPicoUsd: cap, privacy } = request.spec;
  const maxCostPicoUsd = cap === undefined ? undefined : Math.max(0, cap - fromUsd(spentUsd));
  const stage = stageRequest(request, large, { maxCostPicoUsd });
  const parameters = {
    ...stage.parameters,
    model: stage.spec.model,
    min_accuracy: 0,
    ...(maxCostPicoUsd !== undefined && { max_cost_usd: toUsd(maxCostPicoUsd) }),
  };
  const decision =
    privacy === 'local_only'
      ? decideUnder(lease, parts, stage, 'anywhere')
      : decideUnder(lease, parts, { ...stage, spec: { ...stage.spec, variant: large } }, 'mesh');
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
