import { toUsd, ZERO } from '@nearfar/core';
import type { Tensor } from '@nearfar/protocol';
import type { Context } from './context.ts';
import type { DecisionRecord, OutcomeRecord } from './decisions.ts';
import { accountExecuted, accountFailed } from './steps/account.ts';
import type { Admitted } from './steps/admit.ts';
import { type Execution, execute } from './steps/execute.ts';

/** An answered request: its outputs, where it ran and how it went. */
export interface Served {
  readonly outputs: readonly Tensor[];
  readonly decisionId: string;
  readonly execution: Execution;
  readonly outcome: OutcomeRecord;
  /** The whole decision, where the caller asked to explain. */
  readonly explanation: DecisionRecord | undefined;
}

/** The path of an admitted request: decide → place → execute → account. Workers report what there is to learn. */
export async function serve(context: Context, admitted: Admitted): Promise<Served> {
  try {
    const asked = { task: admitted.task, rows: admitted.rows, network: ZERO };
    const execution = await execute(context, admitted, asked);
    const outcome = accountExecuted(context, admitted, execution);
    const { decisionId, spec } = admitted;
    const explanation = spec.explain
      ? context.decisions.get(decisionId, { role: 'client', subject: admitted.subject })
      : undefined;
    return { outputs: execution.executed.outputs, decisionId, execution, outcome, explanation };
  } catch (error) {
    accountFailed(context, admitted, error);
    throw error;
  }
}

/** The flat response parameters of an answer. */
export function responseParameters({
  decisionId,
  execution,
  outcome,
}: Served): Record<string, string | number | boolean> {
  const { placement } = execution;
  return {
    tier: placement.worker.hello.tier,
    variant: placement.variant.variant,
    worker: placement.worker.id,
    accuracy: placement.variant.accuracy.value,
    predicted_ms: placement.judged.predictedMs,
    predicted_cost_usd: toUsd(placement.judged.option.costPicoUsd),
    total_ms: outcome.totalMs,
    queue_ms: outcome.queueMs,
    compute_ms: outcome.computeMs,
    batch_size: outcome.batchSize,
    cost_usd: outcome.costUsd,
    slo_met: outcome.sloMet,
    decision_id: decisionId,
  };
}
