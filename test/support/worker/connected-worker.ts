import type { Replica } from '@nearfar/protocol';
import { createWorker, systemClock, type Worker, type WorkerOptions } from '@nearfar/worker';
import { sourceOf, type TestVariant } from './model-variant.ts';
import { RecordingLink } from './recording-link.ts';

/** A real, welcome edge worker with one slot that can get the files of `variants`. */
export async function connectedCpuWorker(
  variants: TestVariant | readonly TestVariant[],
  options: Partial<WorkerOptions> = {},
): Promise<{ readonly worker: Worker; readonly link: RecordingLink }> {
  const worker = await createWorker({
    workerId: 'worker',
    tier: 'edge',
    device: 'cpu',
    slots: 1,
    artifacts: sourceOf(variants),
    clock: systemClock,
    log: () => undefined,
    ...options,
  });
  const link = new RecordingLink();
  worker.connect(link);
  link.welcome();
  return { worker, link };
}

/** Loads a variant and gives its final state. */
export function loaded(link: RecordingLink, { spec }: TestVariant): Promise<Replica> {
  link.deliver({ type: 'variant-load', spec });
  return link.until(() =>
    link
      .of('load-report')
      .at(-1)
      ?.replicas.find(
        ({ variant, revision, state }) =>
          variant === spec.variant && revision === spec.revision && state !== 'loading',
      ),
  );
}
