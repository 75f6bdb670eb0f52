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
  readonly execution: Execution;
  readonly outcome: OutcomeRecord;
  readonly decision: DecisionRecord;
}

/** The path of an admitted request: decide → place → execute → account. Workers report what there is to learn. */
export async function serve(context: Context, admitted: Admitted): Promise<Served> {
  try {
    const asked = { task: admitted.task, rows: admitted.rows, network: ZERO };
    const execution = await execute(context, admitted, asked);
    const outcome = accountExecuted(context, admitted, execution);
    const decision = context.decisions.get(admitted.decisionId);
    return { outputs: execution.executed.outputs, execution, outcome, decision };
  } catch (error) {
    accountFailed(context, admitted, error);
    throw error;
  }
}

/** The flat response parameters of an answer. */
export function responseParameters(
  { decision, execution, outcome }: Served,
  explain: boolean,
): Record<string, string | number | boolean> {
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
    decision_id: decision.id,
    ...(explain && { explanation: JSON.stringify(decision) }),
  };
}
