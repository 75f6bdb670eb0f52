import { env, InferenceSession } from 'onnxruntime-node';
import type { Provider } from '../engine-messages.ts';

// Errors reach us as exceptions; the runtime need not also print them.
env.logLevel = 'fatal';

/** Creates an onnxruntime session of a model, with its external data, that computes on `threads` cores. */
export function createSession(
  model: Uint8Array,
  provider: Provider,
  threads: number,
  externalData: readonly { readonly path: string; readonly data: Uint8Array }[] = [],
): Promise<InferenceSession> {
  return InferenceSession.create(model, {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
    ...(externalData.length === 0 ? {} : { externalData }),
  });
}
