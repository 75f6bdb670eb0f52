import type { Decision, JudgedOption } from '@nearfar/core';
import { MeshError, type Tier } from '@nearfar/protocol';
import { answer } from './answer.ts';
import { type Decided, decideInPage, decideUnder } from './decide-in-page.ts';
import type { Device } from './device.ts';
import { runHere, runRemotely } from './execute.ts';
import { answerByCascade, cascadeOf, inferCascade, namedCascade } from './infer-cascade.ts';
import type { InferParts } from './infer-parts.ts';
import { refusalDetails } from './refusal.ts';
import type { PageRequest } from './request.ts';
import type { Answer } from './types.ts';

/**
 * Decides in this page, under a lease and by the same policy as the mesh, and answers. When the place fails, what is
 * left of the places and of the time is decided upon in the same way: the page after the mesh, the mesh after the page.
 * A request that names a cascade takes the cascade's own way.
 *
 * @returns undefined when the task has another revision by now, for which the request has to be made anew.
 */
export async function inferDecided(parts: InferParts, request: PageRequest): Promise<Answer | undefined> {
  const cascade = namedCascade(request);
  if (cascade !== undefined) return await inferCascade(parts, request, cascade);
  const decided = await decideInPage(parts, request);
  const { choice } = decided.decision;
  if (choice.kind === 'refused') {
    // What this page has ready may be of the newer revision alone.
    if (parts.catalog.isOutdated(request.task)) return undefined;
    throw refusal(parts.device, decided, choice);
  }
  const { chosen } = choice;
  if (chosen.option.tier === 'browser') {
    return await answerHere(parts, decided, chosen, (error) =>
      failOverToMesh(parts, request, decided, error),
    );
  }
  try {
    // A cascade whose small stage is to run on the mesh is the mesh's own affair.
    const execution = await runRemotely(parts, decided, { predictedMs: chosen.predictedMs });
    return execution && answer(parts, request, execution, [decided.decision]);
  } catch (error) {
    if (decided.signal.aborted) throw error;
    const decision = decideUnder(decided.lease, parts, decided, 'page');
    if (decision.choice.kind === 'refused' || !isWorthAnotherTier(error)) throw error;
    emitFailover(parts, request, chosen.option.tier, error);
    return await answerHere(parts, { ...decided, decision }, decision.choice.chosen, (failure) => {
      throw failure;
    });
  }
}

/** Answers in this page, by a variant or by a cascade whose small stage is to run here. `onFailure` answers instead. */
async function answerHere(
  parts: InferParts,
  decided: Decided,
  chosen: JudgedOption,
  onFailure: (error: unknown) => Promise<Answer | undefined>,
): Promise<Answer | undefined> {
  const cascade = cascadeOf(decided, chosen.option);
  if (cascade !== undefined) return await answerByCascade(parts, decided, cascade, chosen, onFailure);
  try {
    const execution = await runHere(parts, decided, chosen);
    return answer(parts, decided, execution, [decided.decision]);
  } catch (error) {
    if (decided.signal.aborted) throw error;
    return await onFailure(error);
  }
}

/** After a run in this page that failed: the mesh answers, unless the payload may not go there. */
async function failOverToMesh(
  parts: InferParts,
  request: PageRequest,
  decided: Decided,
  error: unknown,
): Promise<Answer | undefined> {
  if (decided.spec.privacy === 'local_only') throw error;
  emitFailover(parts, request, 'browser', error);
  const decision = decideUnder(decided.lease, parts, decided, 'mesh');
  // Whatever this page predicts of the mesh, the mesh decides for itself whether it can.
  const next = decision.choice.kind === 'refused' ? undefined : decision.choice.chosen;
  const execution = await runRemotely(parts, request, { predictedMs: next?.predictedMs });
  return execution && answer(parts, request, execution, [decision]);
}

function emitFailover({ emit }: InferParts, { task }: PageRequest, from: Tier, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  emit('failover', { task: task.task, from, reason });
}

/** Whether the mesh failed in a way that says nothing against the request itself. */
function isWorthAnotherTier(error: unknown): boolean {
  return error instanceof MeshError && error.retryable;
}

function refusal(
  device: Device,
  { task, spec, decision }: Decided,
  { message, nearest }: Extract<Decision['choice'], { kind: 'refused' }>,
): MeshError {
  const details = refusalDetails(device, task.task, nearest);
  if (decision.candidates.length === 0 && spec.privacy !== 'local_only') {
    return new MeshError('MESH_NO_CAPACITY', message, { details, retryAfterSeconds: 1 });
  }
  return new MeshError('MESH_NO_FEASIBLE_PLACEMENT', message, { details });
}
