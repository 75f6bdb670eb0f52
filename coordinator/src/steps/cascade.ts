import {
  activatedScores,
  type CascadeFacts,
  type CascadeStages,
  cascadeFacts,
  cascadeOptions,
  cascadeStages,
  type Decision,
  decide,
  explainCandidates,
  isConfident,
  type JudgedOption,
  type Option,
  type RegisteredTask,
  type RequestSpec,
} from '@nearfar/core';
import { MeshError, type Tensor, type VariantSpec } from '@nearfar/protocol';
import type { Context } from '../context.ts';
import { type AttemptRecord, describeChoice } from '../decisions.ts';
import type { Admitted } from './admit.ts';
import { decideRequest } from './decide.ts';
import { type Execution, execute, type Trail } from './execute.ts';
import { type Asked, workerOptions } from './options.ts';
import { replaceRows, takeRows } from './tensor-rows.ts';

/** A cascade's answer: of the small stage alone, or with the large one's for the inputs that it was not sure of. */
export interface CascadeExecution {
  readonly outputs: readonly Tensor[];
  readonly variant: VariantSpec;
  readonly stage: 'small' | 'large';
  /** In the order in which they ran. */
  readonly executions: readonly [Execution] | readonly [Execution, Execution];
  readonly predictedMs: number;
  readonly predictedCostPicoUsd: number;
  /** The small stage's, where its unsure answer stands in for that of a large one that failed. */
  readonly accuracy?: number;
}

const STAGES = new WeakMap<RegisteredTask, readonly CascadeStages[]>();

/** The cascades of a task as `caller`'s requests meet them: with the share of inputs that goes on. */
export function cascadesFor(context: Context, task: RegisteredTask, caller: string): CascadeFacts[] {
  return stagesOf(task).map((stages) => {
    const { variant, cascade } = stages;
    return cascadeFacts(stages, context.escalations.rate(variant, caller, cascade.escalation));
  });
}

/**
 * Judges every option of a request, cascades among them. Where the task has none, as `decideRequest`.
 *
 * @param known all of them, where they were made before, with those of the caller's own page.
 */
export function decideAmongAll(
  context: Context,
  { task, spec, subject }: Pick<Admitted, 'task' | 'spec' | 'subject'>,
  asked: Asked,
  elapsedMs: number,
  known?: readonly Option[],
): Decision {
  const cascades = mayUseCascade(spec, task) ? cascadesFor(context, task, subject) : [];
  if (cascades.length === 0 && known === undefined) return decideRequest(context, spec, asked, elapsedMs);
  const options = known ?? workerOptions(context, asked, spec);
  const { rows, network } = asked;
  const paired = cascadeOptions(spec, options, cascades, { rows, elapsedMs, network });
  return decide(withoutOwnModel(spec, task), [...options, ...paired], elapsedMs);
}

/**
 * Runs a cascade that was chosen: the small stage where it was to run, and the large one on the inputs of which the small
 * one is not sure, decided anew with the time that is left, all under one decision id.
 *
 * When the large stage fails, the small one's answer stands in, unless the request pins the cascade or asks for more than
 * the small stage reaches.
 *
 * @param attempts grows with each try.
 * @throws MeshError as `execute` does.
 */
export async function executeCascade(
  context: Context,
  admitted: Admitted,
  asked: Asked,
  decision: Decision,
  { option, predictedMs }: JudgedOption,
  attempts: AttemptRecord[],
): Promise<CascadeExecution> {
  const { spec, task, rows, subject } = admitted;
  const stages = stagesOf(task).find(({ variant }) => variant.variant === option.variant);
  const { second } = option;
  if (stages === undefined || second === undefined) {
    throw new MeshError('MESH_INTERNAL', `"${option.variant}" is no cascade of "${task.task}"`);
  }
  const { variant, cascade } = stages;
  const leftPicoUsd = (spentPicoUsd: number) =>
    spec.maxCostPicoUsd === undefined ? undefined : spec.maxCostPicoUsd - spentPicoUsd;
  const trail: Trail = {
    spec,
    attempts,
    before: [() => explainCandidates(decision)],
    choice: describeChoice(decision),
  };
  const smallSpec = stageSpec(spec, cascade.small, leftPicoUsd(second.option.worstCostPicoUsd));
  const elapsedMs = context.options.clock.now() - admitted.arrivedAt;
  const first = await execute(context, { ...admitted, spec: smallSpec }, asked, {
    ...trail,
    first: decide(smallSpec, [second.first], elapsedMs),
  });

  const outputs = namedOutputs(variant, first);
  const unsure = unsureRows(admitted, outputs, cascade.threshold, variant.isBatchable);
  context.escalations.observe(variant, subject, { escalated: unsure.length, inputs: rows });
  const predicted = { variant, predictedMs, predictedCostPicoUsd: option.costPicoUsd };
  const bySmall = { ...predicted, outputs, stage: 'small', executions: [first] } as const;
  if (unsure.length === 0) return bySmall;

  const isPart = unsure.length < rows;
  const rest: Admitted = {
    ...admitted,
    spec: stageSpec(spec, cascade.large, leftPicoUsd(first.placement.judged.option.worstCostPicoUsd)),
    tensors: isPart ? takeRows(admitted.tensors, unsure) : admitted.tensors,
    rows: unsure.length,
  };
  const before = [...trail.before, () => explainCandidates(first.decision)];
  try {
    const last = await execute(context, rest, { ...asked, rows: rest.rows }, { ...trail, before });
    const answer = namedOutputs(variant, last);
    return {
      ...predicted,
      outputs: isPart ? replaceRows(outputs, unsure, answer) : answer,
      stage: 'large',
      executions: [first, last],
    };
  } catch (error) {
    const accuracy = first.placement.variant.accuracy.value;
    const mayStandIn = error instanceof MeshError && !admitted.signal.aborted && !isPinned(spec, variant);
    if (!mayStandIn || accuracy < spec.minAccuracy) throw error;
    return { ...bySmall, accuracy };
  }
}

/** Whether a request leaves the choice open, or names a cascade. */
function mayUseCascade({ variant, model }: RequestSpec, task: RegisteredTask): boolean {
  const name = variant ?? model;
  return name === undefined || stagesOf(task).some((stages) => stages.variant.variant === name);
}

/** Whether a request names this very cascade, as its version or as its model. */
export function isPinned({ variant, model }: RequestSpec, cascade: Pick<VariantSpec, 'variant'>): boolean {
  return variant === cascade.variant || model === cascade.variant;
}

function stagesOf(task: RegisteredTask): readonly CascadeStages[] {
  let stages = STAGES.get(task);
  if (stages === undefined) {
    // The gate reads labels with scores.
    stages = task.postprocess?.kind === 'classification' ? cascadeStages(task.variants) : [];
    STAGES.set(task, stages);
  }
  return stages;
}

/** A pinned cascade may be asked for with its large stage's model besides, which it is registered under. */
function withoutOwnModel(spec: RequestSpec, task: RegisteredTask): RequestSpec {
  const pinned = stagesOf(task).find(({ variant }) => variant.variant === spec.variant);
  return pinned !== undefined && pinned.variant.model === spec.model ? { ...spec, model: undefined } : spec;
}

/** A stage's outputs that the task names; others mean something to their own model alone, and cannot be put together. */
function namedOutputs({ outputs }: VariantSpec, { executed }: Execution): readonly Tensor[] {
  return executed.outputs.filter(({ name }) => outputs.some((output) => output.name === name));
}

/** What a stage must meet by itself: time and privacy; accuracy and model are the cascade's. */
function stageSpec(spec: RequestSpec, variant: string, maxCostPicoUsd?: number): RequestSpec {
  return { ...spec, variant, model: undefined, minAccuracy: 0, maxCostPicoUsd };
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
