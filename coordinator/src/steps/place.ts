import { type Choice, type Decision, type JudgedOption, PAGE_WORKER } from '@nearfar/core';
import { type ErrorDetails, MeshError, type VariantSpec } from '@nearfar/protocol';
import { variantOf } from '../catalog.ts';
import type { Context } from '../context.ts';
import type { FleetWorker } from '../fleet-worker.ts';
import type { Admitted } from './admit.ts';

/** A decision turned into a worker and a variant to run there. */
export interface Placement {
  readonly kind: 'meets-slo' | 'best-effort';
  readonly worker: FleetWorker;
  readonly variant: VariantSpec;
  readonly judged: JudgedOption;
}

/** Blockers that pass by themselves: the same request may succeed a moment later. */
const PASSING: ReadonlySet<string> = new Set([
  'not-ready',
  'not-profiled',
  'queue-full',
  'refused',
  'worker-draining',
  'worker-silent',
]);

/** A queue that is longer than this is no passing overload. */
const MAX_RETRY_AFTER_MS = 300_000;

/**
 * The worker and variant that a decision chose.
 *
 * @throws MeshError `MESH_NO_CAPACITY` when nothing serves now, `MESH_NO_FEASIBLE_PLACEMENT` when the demands cannot
 *   be met, with what would have been feasible.
 */
export function place(context: Context, admitted: Admitted, decision: Decision): Placement {
  const { choice } = decision;
  if (choice.kind === 'refused') throw refusalError(decision, admitted.decisionId, admitted.spec.privacy);
  const { option } = choice.chosen;
  const worker = option.worker === PAGE_WORKER ? undefined : context.fleet.find(option.worker);
  if (worker === undefined) throw new MeshError('MESH_WORKER_LOST', `Worker "${option.worker}" left`);
  const variant = variantOf(admitted.task, option.variant);
  return { kind: choice.kind, worker, variant, judged: choice.chosen };
}

/**
 * The error of a refused decision: a lack of capacity where waiting will help, with how long that is predicted to take where
 * queues are what is waited for; else the demands cannot be met.
 */
export function refusalError(
  { candidates, choice }: Decision,
  decisionId: string,
  privacy: 'any' | 'no_pool' | 'local_only',
): MeshError {
  const message = choice.kind === 'refused' ? choice.message : 'Nothing was refused';
  const details = { ...refusalDetails(candidates, choice), decision_id: decisionId };
  const afterMs = choice.kind === 'refused' ? choice.retryAfterMs : undefined;
  const isOverload = afterMs !== undefined && afterMs <= MAX_RETRY_AFTER_MS;
  if (isOverload || (privacy !== 'local_only' && (candidates.length === 0 || candidates.some(isPassing)))) {
    const retryAfterSeconds = isOverload ? Math.max(1, Math.ceil(afterMs / 1_000)) : 1;
    return new MeshError('MESH_NO_CAPACITY', message, { details, retryAfterSeconds });
  }
  return new MeshError('MESH_NO_FEASIBLE_PLACEMENT', message, { details });
}

function refusalDetails(candidates: readonly JudgedOption[], choice: Choice): ErrorDetails {
  const reasons: Record<string, number> = {};
  for (const candidate of candidates) {
    for (const { code } of candidate.reasons) reasons[code] = (reasons[code] ?? 0) + 1;
  }
  return { reasons, nearest: choice.kind === 'refused' ? choice.nearest : {} };
}

/** Whether a candidate is kept out by passing blockers alone. Such a one may also be called too slow for now. */
function isPassing({ reasons }: JudgedOption): boolean {
  return (
    reasons.some(({ code }) => PASSING.has(code)) &&
    reasons.every(({ code }) => PASSING.has(code) || code === 'too-slow')
  );
}
