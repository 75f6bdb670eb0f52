import type { Clock } from '@nearfar/core';
import type { Tensor } from '@nearfar/protocol';
import type { FakeWorker } from './fake-worker.ts';

type Request = Readonly<Record<string, unknown>>;

/** The name of the variant that a request is to run. */
export function variantOf(request: Request): string {
  return String(request.variant);
}

/**
 * Lets a worker serve one request after the other on `clock`, each as long as `computeMsOf` its variant says, and tell of what
 * it has to do.
 */
export function serveInTurn(
  worker: FakeWorker,
  clock: Pick<Clock, 'now' | 'sleep'>,
  computeMsOf: (variant: string) => number,
): void {
  const waiting: { readonly request: Request; readonly tensors: readonly Tensor[] }[] = [];
  let freeAt = Number.NEGATIVE_INFINITY;
  const serve = async () => {
    for (;;) {
      const next = waiting[0];
      if (next === undefined) return;
      const computeMs = computeMsOf(variantOf(next.request));
      freeAt = clock.now() + computeMs;
      await clock.sleep(computeMs);
      waiting.shift();
      worker.computeMs = computeMs;
      worker.answer(next.request, next.tensors);
    }
  };
  worker.load = () => {
    const [running, ...rest] = waiting;
    const runningMs = running === undefined ? 0 : Math.max(0, freeAt - clock.now());
    const restMs = rest.reduce((sum, { request }) => sum + computeMsOf(variantOf(request)), 0);
    return { backlogMs: runningMs + restMs, waiting: rest.length, running: Number(running !== undefined) };
  };
  worker.onExecute = (request, tensors) => {
    waiting.push({ request, tensors });
    if (waiting.length === 1) void serve();
  };
}
