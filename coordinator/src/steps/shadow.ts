import { type RegisteredTask, ZERO } from '@nearfar/core';
import { MeshError, type Tensor, type VariantSpec } from '@nearfar/protocol';
import type { HeldBytes } from '../byte-budget.ts';
import type { Context } from '../context.ts';
import { isSameAnswer } from '../rollout/same-answer.ts';
import type { ShadowResult } from '../rollout/shadow-log.ts';
import type { Admitted } from './admit.ts';
import { decideRequest } from './decide.ts';
import { type Placement, place } from './place.ts';

/** Whoever's requests they are: their bytes are held in the mesh's own name. */
const HOLDER = '(shadow)';

/** What the active revision answered, and with what. */
interface Answer {
  readonly outputs: readonly Tensor[];
  readonly variant: VariantSpec;
}

/**
 * Runs an answered request on the task's next revision too, where that is a shadow and the request falls into its share,
 * and compares. Nobody waits for it, it takes only a place that is idle, and it is charged to nobody. A revision that takes
 * other tensors cannot be asked with these.
 */
export function shadow(context: Context, admitted: Admitted, answer: Answer): void {
  const { task, decisionId } = admitted;
  const found = context.rollouts.shadowFor(task.task, decisionId);
  if (found === undefined) return;
  const { next, isSameInterface } = found;
  const end = isSameInterface ? context.shadows.begin() : undefined;
  const held = end === undefined ? undefined : hold(context, admitted);
  if (end === undefined || held === undefined) {
    end?.();
    note(context, next, 'skipped');
    return;
  }
  const leave = context.usage.enter(next);
  const over = compare(context, admitted, answer, next).finally(() => {
    end();
    held.release();
    leave();
  });
  context.background('shadow request', over);
}

async function compare(
  context: Context,
  admitted: Admitted,
  answer: Answer,
  next: RegisteredTask,
): Promise<void> {
  // The answer goes out first: sending the tensors to a worker takes a while of this thread.
  await context.options.clock.sleep(0);
  try {
    const placement = idlePlacement(context, admitted, next);
    if (placement === undefined) {
      note(context, next, 'skipped');
      return;
    }
    const outputs = await run(context, admitted, placement);
    const { variant } = placement;
    const isSame = isSameAnswer({ task: admitted.task, ...answer }, { task: next, variant, outputs });
    note(context, next, isSame ? 'agreed' : 'differed');
  } catch (error) {
    note(context, next, 'failed');
    if (!(error instanceof MeshError)) throw error;
  }
}

function note(context: Context, { task, revision }: RegisteredTask, result: ShadowResult): void {
  context.shadows.note(task, revision, result);
  context.metrics.shadow({ task, revision: String(revision), result });
}

/** Room for the tensors that are kept after their request has ended, or undefined when there is none. */
function hold(context: Context, { tensors }: Admitted): HeldBytes | undefined {
  const held = context.bodies.open(HOLDER);
  try {
    held.add(tensors.reduce((sum, { data }) => sum + data.byteLength, 0));
    return held;
  } catch (error) {
    if (error instanceof MeshError) return undefined;
    throw error;
  }
}

/** Where `next` would run the request, unless somebody runs or waits there. */
function idlePlacement(context: Context, admitted: Admitted, next: RegisteredTask): Placement | undefined {
  const { rows, spec } = admitted;
  const decision = decideRequest(context, spec, { task: next, rows, network: ZERO }, 0);
  if (decision.choice.kind === 'refused') return undefined;
  const placement = place(context, { ...admitted, task: next }, decision);
  const { load, inFlight, hello } = placement.worker;
  return Math.max(load.outstanding, inFlight) < hello.slots ? placement : undefined;
}

async function run(
  { closing }: Context,
  { tensors, rows, spec }: Admitted,
  { worker, variant, judged }: Placement,
): Promise<readonly Tensor[]> {
  const { outputs } = await worker.execute({
    requestId: crypto.randomUUID(),
    spec: variant,
    tensors,
    rows,
    serviceMs: judged.option.parts.compute.meanMs,
    budgetMs: spec.timeoutMs,
    timeoutMs: spec.timeoutMs,
    priority: 0,
    signal: closing,
  });
  return outputs;
}
