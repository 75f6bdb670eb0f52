import type { Decision } from '@nearfar/core';
import { MeshError, type Tier } from '@nearfar/protocol';
import { answer } from './answer.ts';
import { type Decided, decideInPage, decideUnder } from './decide-in-page.ts';
import type { Device } from './device.ts';
import { runHere, runRemotely } from './execute.ts';
import { inferCascade, namedCascade } from './infer-cascade.ts';
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
  try {
    const execution =
      chosen.option.tier === 'browser'
        ? await runHere(parts, decided, chosen)
        : await runRemotely(parts, decided, chosen.predictedMs);
    return execution && answer(parts, request, execution, [decided.decision]);
  } catch (error) {
    const { signal, spec, task } = decided;
    if (signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const failover = (from: Tier) => parts.emit('failover', { task: task.task, from, reason });
    if (chosen.option.tier === 'browser') {
      if (spec.privacy === 'local_only') throw error;
      failover('browser');
      const decision = decideUnder(decided.lease, parts, decided, 'mesh');
      // Whatever this page predicts of the mesh, the mesh decides for itself whether it can.
      const next = decision.choice.kind === 'refused' ? undefined : decision.choice.chosen;
      const execution = await runRemotely(parts, request, next?.predictedMs);
      return execution && answer(parts, request, execution, [decision]);
    }
    const decision = decideUnder(decided.lease, parts, decided, 'page');
    if (decision.choice.kind === 'refused' || !isWorthAnotherTier(error)) throw error;
    failover(chosen.option.tier);
    const execution = await runHere(parts, { ...decided, decision }, decision.choice.chosen);
    return answer(parts, request, execution, [decision]);
  }
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
