import { type Decision, explainCandidates, type RequestSpec } from '@nearfar/core';
import { type Candidate, MeshError } from '@nearfar/protocol';
import type { Context } from '../context.ts';
import { type AttemptRecord, type ChoiceRecord, describeChoice } from '../decisions.ts';
import type { Executed } from '../fleet-worker.ts';
import type { Admitted } from './admit.ts';
import { type Asked, decideRequest, MAX_REDECISIONS } from './decide.ts';
import { type Placement, place } from './place.ts';

/** An executed request, where it ran and how that was decided. */
export interface Execution {
  readonly placement: Placement;
  readonly decision: Decision;
  readonly executed: Executed;
  /** Inputs along the batch axis. */
  readonly rows: number;
}

/** What a decision's record holds of the stages that belong to it. */
export interface Trail {
  /** What the caller demands, also where a stage has to meet something else. */
  readonly spec: RequestSpec;
  /** Grows with each try. */
  readonly attempts: AttemptRecord[];
  /** Candidates of the stages before. */
  readonly before: readonly (() => readonly Candidate[])[];
  /** What was chosen as a whole, where it is more than this stage. */
  readonly choice?: ChoiceRecord;
  /** The first decision, where it was made already; what follows a refusal is decided here. */
  readonly first?: Decision;
}

/**
 * Decides, places and executes. A worker that refuses or is lost is blocked and the request is decided again, at most
 * `MAX_REDECISIONS` times; work that a worker dropped because its deadline passed is decided again without that
 * block, since only the deadline stood in the way.
 */
export async function execute(
  context: Context,
  admitted: Admitted,
  asked: Asked,
  trail: Trail = { spec: admitted.spec, attempts: [], before: [] },
): Promise<Execution> {
  const blocked = new Map<string, string>();
  const { attempts } = trail;
  for (let round = 0; ; round += 1) {
    const elapsedMs = context.options.clock.now() - admitted.arrivedAt;
    const decided = round === 0 ? trail.first : undefined;
    const decision = decided ?? decideRequest(context, admitted.spec, asked, elapsedMs, blocked);
    record(context, admitted, decision, trail);
    let placement: Placement | undefined;
    try {
      placement = place(context, admitted, decision);
      const isGivenUp = attempts.some(({ code }) => code === 'MESH_DEADLINE_EXCEEDED');
      const executed = await attempt(context, admitted, placement, elapsedMs, isGivenUp);
      attempts.push({ variant: placement.variant.variant, worker: placement.worker.id });
      record(context, admitted, decision, trail);
      return { placement, decision, executed, rows: admitted.rows };
    } catch (error) {
      if (placement === undefined || !(error instanceof MeshError)) throw error;
      attempts.push({ variant: placement.variant.variant, worker: placement.worker.id, code: error.code });
      record(context, admitted, decision, trail);
      if (round >= MAX_REDECISIONS || !mayRetry(error, context, admitted)) throw error;
      if (error.code !== 'MESH_DEADLINE_EXCEEDED')
        blocked.set(placement.worker.id, `${error.code}: ${error.message}`);
    }
  }
}

async function attempt(
  context: Context,
  admitted: Admitted,
  placement: Placement,
  elapsedMs: number,
  isGivenUp: boolean,
): Promise<Executed> {
  const { requestId, spec, tensors, signal } = admitted;
  const timeoutMs = spec.timeoutMs - elapsedMs;
  if (timeoutMs <= 0)
    throw new MeshError('MESH_DEADLINE_EXCEEDED', `The time limit of ${spec.timeoutMs} ms has passed`);
  // While the deadline can be met, the worker orders and batches by it; after that an answer is useful until the limit.
  // A worker that dropped the request before its deadline knew better than the prediction: it is late, and useful all the same.
  const isOnTime = placement.kind === 'meets-slo' && !isGivenUp;
  const budgetMs = isOnTime ? Math.min(timeoutMs, spec.sloMs - elapsedMs) : timeoutMs;
  const { worker, variant, judged } = placement;
  const execution = {
    requestId,
    spec: variant,
    tensors,
    rows: admitted.rows,
    serviceMs: judged.option.parts.compute.meanMs,
    budgetMs: Math.max(0, budgetMs),
    timeoutMs,
    priority: spec.priority,
    signal,
  };
  return context.calibrations.watch(variant, judged.option, () => worker.execute(execution));
}

function mayRetry(error: MeshError, context: Context, { arrivedAt, spec, signal }: Admitted): boolean {
  if (signal.aborted) return false;
  if (error.code !== 'MESH_DEADLINE_EXCEEDED') return error.retryable;
  const hasTimeLeft = context.options.clock.now() - arrivedAt < spec.timeoutMs;
  return spec.onInfeasible === 'best_effort' && hasTimeLeft;
}

function record(
  context: Context,
  { decisionId: id, task, subject }: Admitted,
  decision: Decision,
  { spec, attempts, before, choice: whole }: Trail,
): void {
  const at = context.decisions.find(id)?.at ?? new Date(context.options.clock.wallTime()).toISOString();
  const choice = whole ?? describeChoice(decision);
  context.decisions.put(
    { id, at, source: 'request', subject, task: task.task, spec, choice, attempts: [...attempts] },
    () => [...before.flatMap((explain) => explain()), ...explainCandidates(decision)],
  );
}
