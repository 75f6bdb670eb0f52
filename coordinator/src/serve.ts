import { explainCandidates, passedOver, toUsd, ZERO } from '@nearfar/core';
import { MeshError, type Tensor, type VariantSpec } from '@nearfar/protocol';
import type { Context } from './context.ts';
import type { DecisionRecord, OutcomeRecord } from './decisions.ts';
import { accountExecuted, accountFailed } from './steps/account.ts';
import type { Admitted } from './steps/admit.ts';
import { decideAmongAll, executeCascade, isPinned } from './steps/cascade.ts';
import { type Execution, execute, type Trail } from './steps/execute.ts';
import { shadow } from './steps/shadow.ts';

/** What gave an answer, and what that was predicted to take and cost. */
interface Answer {
  readonly outputs: readonly Tensor[];
  readonly variant: VariantSpec;
  /** Of a cascade: the stage that the answer rests on. */
  readonly stage?: 'small' | 'large';
  /** Where it is another than the variant's: of a cascade's small stage that stands in for its large one. */
  readonly accuracy?: number;
  /** In the order in which they ran; more than one only for a cascade. */
  readonly executions: readonly [Execution, ...Execution[]];
  readonly predictedMs: number;
  readonly predictedCostPicoUsd: number;
}

/** An answered request: its outputs, what gave them and how it went. */
export interface Served extends Answer {
  readonly decisionId: string;
  /** The task's revision that answered. */
  readonly revision: number;
  readonly outcome: OutcomeRecord;
  /** Whether it is less accurate than asked for, as the caller allowed. */
  readonly isDegraded: boolean;
  /** The whole decision, where the caller asked to explain. */
  readonly explanation: DecisionRecord | undefined;
}

/** The path of an admitted request: decide → place → execute → account. Workers report what there is to learn. */
export async function serve(context: Context, admitted: Admitted): Promise<Served> {
  try {
    const answer = await run(context, admitted);
    const outcome = accountExecuted(context, admitted, answer.executions);
    context.usage.answered(admitted.task.task, context.options.clock.now());
    shadow(context, admitted, answer);
    const { decisionId, task, spec, subject } = admitted;
    const explanation = spec.explain
      ? context.decisions.get(decisionId, { role: 'client', subject })
      : undefined;
    const isDegraded = accuracyOf(answer) < spec.minAccuracy;
    return { ...answer, decisionId, revision: task.revision, outcome, isDegraded, explanation };
  } catch (error) {
    accountFailed(context, admitted, error);
    throw error;
  }
}

async function run(context: Context, admitted: Admitted): Promise<Answer> {
  const { task, spec, rows, signal } = admitted;
  context.planner.count(task, spec, rows);
  const asked = { task, rows, network: ZERO };
  const trail: Trail = { spec, attempts: [], before: [] };
  context.hedges.earn();
  const first = decideAmongAll(context, admitted, asked, context.options.clock.now() - admitted.arrivedAt);
  context.calibrations.passedOver(task.task, passedOver(spec, first));
  const chosen = first.choice.kind === 'refused' ? undefined : first.choice.chosen;
  if (chosen?.option.second === undefined) {
    return answerOf(await execute(context, admitted, asked, { ...trail, first }));
  }
  try {
    return await executeCascade(context, admitted, asked, first, chosen, trail.attempts);
  } catch (error) {
    // Its stages are gone or refuse; something else may do, for a request that did not ask for the cascade itself.
    if (!(error instanceof MeshError) || !error.retryable || signal.aborted) throw error;
    if (isPinned(spec, chosen.option)) throw error;
    const before = [() => explainCandidates(first)];
    return answerOf(await execute(context, admitted, asked, { ...trail, before }));
  }
}

function answerOf(execution: Execution): Answer {
  const { variant, judged } = execution.placement;
  return {
    outputs: execution.executed.outputs,
    variant,
    executions: [execution],
    predictedMs: judged.predictedMs,
    predictedCostPicoUsd: judged.option.costPicoUsd,
  };
}

function accuracyOf({ accuracy, variant }: Answer): number {
  return accuracy ?? variant.accuracy.value;
}

/** The flat response parameters of an answer. */
export function responseParameters(served: Served): Record<string, string | number | boolean> {
  const { variant, stage, executions, outcome } = served;
  const { worker } = (executions.at(-1) ?? executions[0]).placement;
  return {
    tier: worker.hello.tier,
    variant: variant.variant,
    revision: served.revision,
    ...(stage !== undefined && { cascade_stage: stage }),
    worker: worker.id,
    accuracy: accuracyOf(served),
    ...(served.isDegraded && { degraded: true }),
    predicted_ms: served.predictedMs,
    predicted_cost_usd: toUsd(served.predictedCostPicoUsd),
    total_ms: outcome.totalMs,
    queue_ms: outcome.queueMs,
    compute_ms: outcome.computeMs,
    batch_size: outcome.batchSize,
    cost_usd: outcome.costUsd,
    slo_met: outcome.sloMet,
    decision_id: served.decisionId,
  };
}
