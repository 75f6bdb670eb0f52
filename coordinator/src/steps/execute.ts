import { type Decision, explainCandidates, hedgeChoice, hedgeDelayMs, type RequestSpec } from '@nearfar/core';
import { type Candidate, MeshError } from '@nearfar/protocol';
import type { Context } from '../context.ts';
import { type AttemptRecord, type ChoiceRecord, describeChoice } from '../decisions.ts';
import type { Executed } from '../fleet-worker.ts';
import { MAX_REDECISIONS } from '../task-offers.ts';
import type { Admitted } from './admit.ts';
import { decideRequest } from './decide.ts';
import type { Asked } from './options.ts';
import { type Placement, place } from './place.ts';
import { type Placed, race } from './race.ts';

/** An executed request, where it ran and how that was decided. */
export interface Execution {
  readonly placement: Placement;
  readonly decision: Decision;
  readonly executed: Executed;
  /** Inputs along the batch axis. */
  readonly rows: number;
  /** Busy milliseconds of a second execution whose answer was not needed, once known; undefined where there was none. */
  readonly wastedMs?: Promise<number>;
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
 * Decides, places and executes. A worker that refuses or is lost is blocked and the request is decided again; work that a
 * worker dropped because its deadline passed is decided again without that block, since only the deadline stood in the way.
 *
 * A request that overruns what was predicted of it is executed a second time on another worker, once, where one has a fair
 * chance to be on time and the mesh's budget allows. All in all there are at most `1 + MAX_REDECISIONS` executions, for which
 * the worst-case cost of each option pays.
 */
export async function execute(
  context: Context,
  admitted: Admitted,
  asked: Asked,
  trail: Trail = { spec: admitted.spec, attempts: [], before: [] },
): Promise<Execution> {
  const { spec, arrivedAt, rows } = admitted;
  const { clock } = context.options;
  const blocked = new Map<string, string>();
  let executions = 0;
  let isHedged = false;

  const hedgeFor =
    ({ placement }: Placed) =>
    (): Placed | undefined => {
      const elapsedMs = clock.now() - arrivedAt;
      if (isHedged || executions > MAX_REDECISIONS || elapsedMs >= spec.sloMs) return undefined;
      if (!context.hedges.hasToken) return undefined;
      const others = new Map(blocked).set(placement.worker.id, 'The request is being executed there');
      const decision = decideRequest(context, spec, asked, elapsedMs, others);
      if (hedgeChoice(decision) === undefined) return undefined;
      const second = place(context, admitted, decision);
      context.hedges.take();
      isHedged = true;
      executions += 1;
      return { placement: second, decision, elapsedMs, isHedge: true };
    };
  const onEnd = ({ placement, decision, isHedge }: Placed, error?: MeshError) => {
    trail.attempts.push({
      variant: placement.variant.variant,
      worker: placement.worker.id,
      ...(error !== undefined && { code: error.code }),
      ...(isHedge && { isHedge }),
    });
    record(context, admitted, decision, trail);
    if (error !== undefined && error.code !== 'MESH_DEADLINE_EXCEEDED')
      blocked.set(placement.worker.id, `${error.code}: ${error.message}`);
  };

  for (;;) {
    const elapsedMs = clock.now() - arrivedAt;
    const decided = executions === 0 ? trail.first : undefined;
    const decision = decided ?? decideRequest(context, spec, asked, elapsedMs, blocked);
    record(context, admitted, decision, trail);
    const placement = place(context, admitted, decision);
    executions += 1;
    const first: Placed = { placement, decision, elapsedMs, isHedge: false };
    const mayHedge = context.hedges.isOpen && !isHedged && context.fleet.size > 1;
    const hedgeAfterMs = mayHedge ? hedgeDelayMs(placement.judged.option) : undefined;
    try {
      const answered = await race(context, admitted, first, { hedgeAfterMs, hedge: hedgeFor(first), onEnd });
      const { executed, wastedMs } = answered;
      const { placement, decision } = answered;
      return { placement, decision, executed, rows, ...(wastedMs !== undefined && { wastedMs }) };
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      if (executions > MAX_REDECISIONS || !mayRetry(error, context, admitted)) throw error;
    }
  }
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
    {
      id,
      at,
      source: 'request',
      subject,
      task: task.task,
      spec,
      choice,
      attempts: [...attempts],
      ...(decision.considered !== undefined && { considered: decision.considered }),
    },
    () => [...before.flatMap((explain) => explain()), ...explainCandidates(decision)],
  );
}
