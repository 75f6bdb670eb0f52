import type { Decision } from '@nearfar/core';
import { type ExecuteResult, MeshError } from '@nearfar/protocol';
import { after } from '../after.ts';
import type { Context } from '../context.ts';
import type { Executed } from '../fleet-worker.ts';
import type { Admitted } from './admit.ts';
import type { Placement } from './place.ts';

/** One execution of a request: where, and how that was decided. */
export interface Placed {
  readonly placement: Placement;
  readonly decision: Decision;
  /** What the request had spent by then. */
  readonly elapsedMs: number;
  /** Whether it is the second one beside another that overran. */
  readonly isHedge: boolean;
}

/** The execution that answered first. */
export interface Answered extends Placed {
  readonly executed: Executed;
  /** Busy milliseconds of the other one, as soon as its worker has said; undefined where there was none. */
  readonly wastedMs?: Promise<number>;
}

/** When and where a request is executed a second time, and who hears of an execution that ended. */
export interface RaceRule {
  /** Milliseconds until `hedge` is asked; undefined = never. */
  readonly hedgeAfterMs: number | undefined;
  readonly hedge: () => Placed | undefined;
  /** Called for each execution once; without an error for the one that answered. */
  readonly onEnd: (placed: Placed, error?: MeshError) => void;
}

interface Run {
  readonly executed: Promise<Executed>;
  cancel(): void;
  /** What came of it in the worker: its result, though nobody waits for it any more, or undefined when there is none. */
  readonly fate: Promise<ExecuteResult | undefined>;
}

/**
 * Executes a request, and once more on another worker when the first execution overruns. The first answer wins and the other
 * execution is cancelled; one that fails is made up for by the other. Rejects when the last one has failed.
 */
export function race(
  context: Context,
  admitted: Admitted,
  first: Placed,
  { hedgeAfterMs, hedge, onEnd }: RaceRule,
): Promise<Answered> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  const running = new Map<Placed, Run>();
  let stopTimer: (() => void) | undefined;

  const answer = (placed: Placed, executed: Executed) => {
    stopTimer?.();
    if (placed.isHedge) context.metrics.hedge('won');
    const [other] = running;
    if (other === undefined) {
      onEnd(placed);
      resolve({ ...placed, executed });
      return;
    }
    const [loser, run] = other;
    running.clear();
    run.cancel();
    onEnd(loser, new MeshError('MESH_CANCELLED', 'The other execution answered first'));
    onEnd(placed);
    resolve({ ...placed, executed, wastedMs: settleLoser(context, loser, run, admitted.rows) });
  };
  const fail = (placed: Placed, error: unknown) => {
    if (placed.isHedge) context.metrics.hedge(isCancelled(error) ? 'cancelled' : 'lost');
    if (error instanceof MeshError) onEnd(placed, error);
    if (running.size > 0) return;
    stopTimer?.();
    reject(error);
  };
  const launch = (placed: Placed) => {
    const run = start(context, admitted, placed);
    running.set(placed, run);
    // One that is no longer among the running has lost: what it gives is its fate.
    run.executed.then(
      (executed) => running.delete(placed) && answer(placed, executed),
      (error: unknown) => running.delete(placed) && fail(placed, error),
    );
  };

  launch(first);
  if (hedgeAfterMs !== undefined) {
    stopTimer = after(context.options.clock, hedgeAfterMs, () => {
      // It may have ended in the very moment.
      if (running.size === 0) return;
      try {
        const second = hedge();
        if (second !== undefined) launch(second);
      } catch (error) {
        context.options.log('error', 'hedging failed', { error: String(error) });
      }
    });
  }
  return promise;
}

/** Waits for what the cancelled execution did all the same, and counts it. */
async function settleLoser(context: Context, { isHedge }: Placed, run: Run, rows: number): Promise<number> {
  const result = await run.fate;
  if (isHedge) context.metrics.hedge(result === undefined ? 'cancelled' : 'lost');
  if (result === undefined) return 0;
  const wastedMs = shareOf(result, rows);
  context.metrics.wasted(wastedMs);
  return wastedMs;
}

function start(context: Context, admitted: Admitted, { placement, elapsedMs }: Placed): Run {
  const { promise: fate, resolve: settle } = Promise.withResolvers<ExecuteResult | undefined>();
  const own = new AbortController();
  const cancel = () => own.abort();
  admitted.signal.addEventListener('abort', cancel, { once: true });
  if (admitted.signal.aborted) cancel();
  const { worker, judged } = placement;
  const slackMs = admitted.spec.sloMs - elapsedMs - judged.option.parts.compute.meanMs;
  fate.then((result) => {
    if (result !== undefined)
      context.shadowPrices.used(worker, { busyMs: shareOf(result, admitted.rows), slackMs });
  });
  const executed = attempt(context, admitted, { placement, elapsedMs }, own.signal, settle);
  executed.then(
    ({ result }) => settle(result),
    // A worker that was told to cancel has yet to say what came of it.
    (error: unknown) => isCancelled(error) || settle(undefined),
  );
  const watched = executed.finally(() => admitted.signal.removeEventListener('abort', cancel));
  return { executed: watched, cancel, fate };
}

async function attempt(
  context: Context,
  { spec, tensors, rows }: Admitted,
  { placement, elapsedMs }: Pick<Placed, 'placement' | 'elapsedMs'>,
  signal: AbortSignal,
  onLate: (result: ExecuteResult | undefined) => void,
): Promise<Executed> {
  const timeoutMs = spec.timeoutMs - elapsedMs;
  if (timeoutMs <= 0)
    throw new MeshError('MESH_DEADLINE_EXCEEDED', `The time limit of ${spec.timeoutMs} ms has passed`);
  // While the deadline can be met, the worker orders and batches by it; after that an answer is useful until the limit.
  const budgetMs = placement.kind === 'meets-slo' ? Math.min(timeoutMs, spec.sloMs - elapsedMs) : timeoutMs;
  const { worker, variant, judged } = placement;
  const execution = {
    // Each has an id of its own: what is still to come of one that lost is not to be taken for the next on that worker.
    requestId: crypto.randomUUID(),
    spec: variant,
    tensors,
    rows,
    serviceMs: judged.option.parts.compute.meanMs,
    budgetMs: Math.max(0, budgetMs),
    timeoutMs,
    priority: spec.priority,
    signal,
    onLate,
  };
  return context.calibrations.watch(variant, judged.option, () => worker.execute(execution));
}

/** The busy milliseconds that so many inputs of a batch took. */
function shareOf({ computeMs, batchSize }: ExecuteResult, rows: number): number {
  return (computeMs * rows) / Math.max(batchSize, rows);
}

function isCancelled(error: unknown): boolean {
  return error instanceof MeshError && error.code === 'MESH_CANCELLED';
}
