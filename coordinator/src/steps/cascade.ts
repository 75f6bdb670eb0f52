import {
  activatedScores,
  type Decision,
  explainCandidates,
  isConfident,
  type NearestFeasible,
  type RequestSpec,
  toUsd,
  ZERO,
} from '@nearfar/core';
import { type Cascade, MeshError, type Tensor, type VariantSpec } from '@nearfar/protocol';
import type { Context } from '../context.ts';
import type { Admitted } from './admit.ts';
import { decideRequest } from './decide.ts';
import { type Execution, execute, type Trail } from './execute.ts';
import { replaceRows, takeRows } from './tensor-rows.ts';

/** A cascade's answer: of the small stage alone, or with the large one's for the inputs that it was not sure of. */
export interface CascadeExecution {
  readonly outputs: readonly Tensor[];
  readonly stage: 'small' | 'large';
  /** In the order in which they ran. */
  readonly executions: readonly [Execution] | readonly [Execution, Execution];
  readonly predictedMs: number;
  readonly predictedCostPicoUsd: number;
}

/** A cascade that a request pins, by its version or as its model. Nobody else is served by one. */
export function pinnedCascade({ task, spec }: Admitted): VariantSpec | undefined {
  const name = spec.variant ?? spec.model;
  return task.variants.find((entry) => entry.cascade !== undefined && entry.variant === name);
}

/**
 * Runs the small stage, and the large one on the inputs of which the small one is not sure, with the time that is left.
 * Both stages are decided like any request, under one decision id.
 *
 * @throws MeshError as `execute` does; `MESH_NO_FEASIBLE_PLACEMENT` also when the cascade is not accurate enough, or when
 *   both stages together may cost more than the caller's cap.
 */
export async function executeCascade(
  context: Context,
  admitted: Admitted,
  variant: VariantSpec,
  cascade: Cascade,
): Promise<CascadeExecution> {
  const { spec, task, rows } = admitted;
  const elapsedMs = context.options.clock.now() - admitted.arrivedAt;
  const asked = { task, rows, network: ZERO };
  const ahead = (stage: string) => decideRequest(context, stageSpec(spec, stage), asked, elapsedMs);
  const decisions = [ahead(cascade.small), ahead(cascade.large)] as const;
  checkDemands(context, admitted, variant, decisions);
  const [, large] = decisions.map(({ choice }) => (choice.kind === 'refused' ? undefined : choice.chosen));

  const leftPicoUsd = (spentPicoUsd: number) =>
    spec.maxCostPicoUsd === undefined ? undefined : spec.maxCostPicoUsd - spentPicoUsd;
  const smallSpec = stageSpec(spec, cascade.small, leftPicoUsd(large?.option.worstCostPicoUsd ?? 0));
  const trail: Trail = { spec, attempts: [], before: [] };
  const first = await execute(context, { ...admitted, spec: smallSpec }, asked, trail);

  const { judged } = first.placement;
  const { escalation } = cascade;
  const largeMs = large === undefined ? 0 : large.predictedMs - large.spentMs;
  const predicted = {
    predictedMs: judged.predictedMs + escalation.value * largeMs,
    predictedCostPicoUsd: Math.round(
      judged.option.costPicoUsd + escalation.value * (large?.option.costPicoUsd ?? 0),
    ),
  };
  const outputs = namedOutputs(variant, first);
  const unsure = unsureRows(admitted, outputs, cascade.threshold, variant.isBatchable);
  if (unsure.length === 0) return { outputs, stage: 'small', executions: [first], ...predicted };

  const isPart = unsure.length < rows;
  const rest: Admitted = {
    ...admitted,
    spec: stageSpec(spec, cascade.large, leftPicoUsd(judged.option.worstCostPicoUsd)),
    tensors: isPart ? takeRows(admitted.tensors, unsure) : admitted.tensors,
    rows: unsure.length,
  };
  const before = [() => explainCandidates(first.decision)];
  const second = await execute(context, rest, { ...asked, rows: rest.rows }, { ...trail, before });
  const answer = namedOutputs(variant, second);
  return {
    outputs: isPart ? replaceRows(outputs, unsure, answer) : answer,
    stage: 'large',
    executions: [first, second],
    ...predicted,
  };
}

/** A stage's outputs that the task names; others mean something to their own model alone, and cannot be put together. */
function namedOutputs({ outputs }: VariantSpec, { executed }: Execution): readonly Tensor[] {
  return executed.outputs.filter(({ name }) => outputs.some((output) => output.name === name));
}

/** What a stage must meet by itself: time and privacy; accuracy and model are the cascade's. */
function stageSpec(spec: RequestSpec, variant: string, maxCostPicoUsd?: number): RequestSpec {
  return { ...spec, variant, model: undefined, minAccuracy: 0, maxCostPicoUsd };
}

function checkDemands(
  context: Context,
  admitted: Admitted,
  variant: VariantSpec,
  [small, large]: readonly [Decision, Decision],
): void {
  const { spec } = admitted;
  const refuse = (message: string, nearest: NearestFeasible) => {
    const { decisionId: id, task, subject } = admitted;
    const at = new Date(context.options.clock.wallTime()).toISOString();
    const choice = { kind: 'refused', message, nearest } as const;
    context.decisions.put(
      { id, at, source: 'request', subject, task: task.task, spec, choice, attempts: [] },
      () => [...explainCandidates(small), ...explainCandidates(large)],
    );
    throw new MeshError('MESH_NO_FEASIBLE_PLACEMENT', message, { details: { nearest, decision_id: id } });
  };
  const accuracy = variant.accuracy.value;
  if (spec.model !== undefined && ![variant.model, variant.variant].includes(spec.model)) {
    refuse(`The request asks for model "${spec.model}", which cascade "${variant.variant}" is not of`, {});
  }
  if (accuracy < spec.minAccuracy) {
    const nearest = { min_accuracy: accuracy };
    refuse(
      `Accuracy ${accuracy} of "${variant.variant}" is below the minimum of ${spec.minAccuracy}`,
      nearest,
    );
  }
  const worst = [small, large].map(({ choice }) =>
    choice.kind === 'refused' ? 0 : choice.chosen.option.worstCostPicoUsd,
  );
  const worstPicoUsd = worst.reduce((sum, cost) => sum + cost, 0);
  if (spec.maxCostPicoUsd !== undefined && worstPicoUsd > spec.maxCostPicoUsd) {
    const nearest = { max_cost_usd: toUsd(worstPicoUsd) };
    refuse(`Both stages of "${variant.variant}" may cost more than the cap`, nearest);
  }
}

/** The inputs of which the small stage is less sure than `threshold`. */
function unsureRows(
  { task, rows }: Admitted,
  outputs: readonly Tensor[],
  threshold: number,
  isBatchable: boolean,
): number[] {
  const rule = task.postprocess;
  if (rule?.kind !== 'classification') {
    throw new MeshError('MESH_UNSUPPORTED', `Task "${task.task}" has cascades, but is no classification`);
  }
  const scores = outputs.filter(({ name }) => name === rule.output);
  return Array.from({ length: rows }, (_, row) => row).filter((row) => {
    const own = isBatchable ? takeRows(scores, [row]) : scores;
    return !isConfident(activatedScores(own, rule, task.labels), threshold);
  });
}
