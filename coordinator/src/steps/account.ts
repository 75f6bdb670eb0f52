import {
  type AccountRecord,
  batchSharePicoUsd,
  browserCostPicoUsd,
  pagePrices,
  remoteCostPicoUsd,
  toUsd,
  workerUsdPerHour,
} from '@nearfar/core';
import { MeshError, type Outcome, type VariantSpec } from '@nearfar/protocol';
import type { Context } from '../context.ts';
import type { OutcomeRecord } from '../decisions.ts';
import type { Admitted } from './admit.ts';
import type { Execution } from './execute.ts';
import { weightBytes } from './options.ts';

/** Books an answered request: each of its executions, and how it went as a whole. */
export function accountExecuted(
  context: Context,
  admitted: Admitted,
  executions: readonly Execution[],
): OutcomeRecord {
  const totalMs = context.options.clock.now() - admitted.arrivedAt;
  const last = executions.at(-1);
  const costPicoUsd = sumOf(executions, (execution) => book(context, admitted, execution));
  const outcome: OutcomeRecord = {
    status: 'ok',
    totalMs,
    queueMs: sumOf(executions, ({ executed }) => executed.result.queueMs),
    computeMs: sumOf(executions, ({ executed }) => executed.result.computeMs),
    batchSize: last?.executed.result.batchSize ?? 0,
    costUsd: toUsd(costPicoUsd),
    sloMet: totalMs <= admitted.spec.sloMs,
  };
  context.decisions.settle(admitted.decisionId, outcome);
  const tier = last?.placement.worker.hello.tier ?? 'none';
  count(context, admitted, { tier, status: 'ok' }, outcome);
  return outcome;
}

/**
 * Books one execution: its share of the batch's busy time by inputs, plus its answer's way out.
 *
 * @returns what it cost, in whole picodollars.
 */
function book(context: Context, admitted: Admitted, execution: Execution): number {
  const { placement, executed, rows, wastedMs: wasted } = execution;
  const { prices } = context.options;
  const { result, outputs } = executed;
  const usdPerHour = workerUsdPerHour(prices, placement.worker.hello);
  const batchSize = Math.max(result.batchSize, rows);
  const batchPicoUsd = remoteCostPicoUsd(prices, usdPerHour, result.computeMs, 0);
  const share = batchSharePicoUsd(batchPicoUsd, {
    offset: Math.min(result.batchOffset, batchSize - rows),
    size: rows,
    batchSize,
  });
  const answerBytes = outputs.reduce((sum, tensor) => sum + tensor.data.byteLength, 0);
  const costPicoUsd = share + remoteCostPicoUsd(prices, 0, 0, answerBytes);
  const booking: Booking = {
    variant: placement.variant.variant,
    tier: placement.worker.hello.tier,
    worker: placement.worker.id,
    status: 'ok',
    busyMs: (result.computeMs * rows) / batchSize,
    batchSize: result.batchSize,
    costPicoUsd,
  };
  if (wasted === undefined) append(context, admitted, booking);
  else context.background('account of a hedged request', bookWithWaste(context, admitted, booking, wasted));
  return costPicoUsd;
}

/** Books an execution as soon as it is known what a second one did in vain: what was appended is never changed. */
async function bookWithWaste(
  context: Context,
  admitted: Admitted,
  booking: Booking,
  wasted: Promise<number>,
): Promise<void> {
  const wastedMs = await wasted;
  append(context, admitted, wastedMs > 0 ? { ...booking, wastedMs } : booking);
}

function sumOf(executions: readonly Execution[], value: (execution: Execution) => number): number {
  return executions.reduce((sum, execution) => sum + value(execution), 0);
}

function count(
  context: Context,
  { task }: Admitted,
  labels: { readonly tier: string; readonly status: string },
  { totalMs, costUsd }: Pick<OutcomeRecord, 'totalMs' | 'costUsd'>,
): void {
  context.metrics.request({ task: task.task, ...labels }, totalMs, costUsd);
  context.metrics.revision({ task: task.task, revision: String(task.revision), status: labels.status });
}

/** Books a request that was placed but gave no answer. Its work in a worker, if any, is not charged to the caller. */
export function accountFailed(context: Context, admitted: Admitted, error: unknown): void {
  const status = error instanceof MeshError && error.code === 'MESH_CANCELLED' ? 'cancelled' : 'failed';
  const totalMs = context.options.clock.now() - admitted.arrivedAt;
  const choice = context.decisions.find(admitted.decisionId)?.choice;
  if (choice !== undefined && choice.kind !== 'refused') {
    const { variant, tier, worker } = choice;
    append(context, admitted, { variant, tier, worker, status, busyMs: 0, batchSize: 1, costPicoUsd: 0 });
  }
  const tier = choice === undefined || choice.kind === 'refused' ? 'none' : choice.tier;
  context.decisions.settle(admitted.decisionId, {
    status,
    totalMs,
    queueMs: 0,
    computeMs: 0,
    batchSize: 0,
    costUsd: 0,
    sloMet: false,
  });
  count(context, admitted, { tier, status }, { totalMs, costUsd: 0 });
}

/**
 * Whether a page's run is a part of a request alone: the small stage of a cascade that was not sure. The whole is settled and
 * counted where the large stage runs, in whatever order the two are reported.
 */
export function isUnsureStage({ status, cascade }: Outcome): boolean {
  return status === 'ok' && cascade?.isEscalated === true;
}

/** Books what a page says it ran itself. The figures are hints; the cost follows from our own prices. */
export function accountReported(
  context: Context,
  subject: string,
  outcome: Outcome,
  variant: VariantSpec,
): void {
  const busyMs = Math.min(outcome.computeMs ?? outcome.totalMs, outcome.totalMs);
  const prices = pagePrices(context.options.prices);
  const costPicoUsd = browserCostPicoUsd(prices, busyMs, weightBytes(variant));
  const { decisionId, task, status } = outcome;
  context.options.accounts.append({
    at: new Date(context.options.clock.wallTime()).toISOString(),
    requestId: decisionId,
    decisionId,
    subject,
    task,
    variant: variant.variant,
    tier: 'browser',
    worker: 'page',
    status,
    busyMs,
    batchSize: 1,
    costPicoUsd,
    source: 'reported',
  });
  if (isUnsureStage(outcome)) return;
  context.metrics.request({ task, tier: 'browser', status }, outcome.totalMs, toUsd(costPicoUsd));
  context.decisions.settle(decisionId, {
    status,
    totalMs: outcome.totalMs,
    queueMs: outcome.queueMs ?? 0,
    computeMs: busyMs,
    batchSize: 1,
    costUsd: toUsd(costPicoUsd),
    sloMet: status === 'ok' && (outcome.sloMs === undefined || outcome.totalMs <= outcome.sloMs),
  });
}

type Booking = Pick<
  AccountRecord,
  'variant' | 'tier' | 'worker' | 'status' | 'busyMs' | 'wastedMs' | 'batchSize' | 'costPicoUsd'
>;

function append(context: Context, admitted: Admitted, booking: Booking): void {
  const { requestId, decisionId, subject, task } = admitted;
  const at = new Date(context.options.clock.wallTime()).toISOString();
  context.options.accounts.append({
    at,
    requestId,
    decisionId,
    subject,
    task: task.task,
    ...booking,
    source: 'measured',
  });
}
