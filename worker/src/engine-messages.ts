import type { Datatype } from '@nearfar/protocol';

/** What onnxruntime calls its ways to run. */
export type Provider = 'cpu' | 'cuda' | 'webgpu';

/** A tensor on its way between threads: it owns its buffer, which is transferred, not copied. */
export interface ThreadTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array<ArrayBuffer>;
}

/** What an engine thread is asked to do. */
export type EngineCall =
  | { readonly type: 'load'; readonly session: string; readonly model: SharedArrayBuffer }
  | { readonly type: 'run'; readonly session: string; readonly tensors: readonly ThreadTensor[] }
  | { readonly type: 'unload'; readonly session: string }
  | { readonly type: 'probe'; readonly provider: Provider }
  /** Ends the thread, after the calls before it. */
  | { readonly type: 'exit' };

/** What a session says of itself once it is loaded. */
export interface LoadedSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly loadMs: number;
  /** Growth of the process during the load; other threads may share in it. */
  readonly grownBytes: number;
}

/** Outputs of one run and how long the device took for it. */
export interface RunResult {
  readonly tensors: readonly ThreadTensor[];
  readonly computeMs: number;
}

/** Median time of the probe model on one provider. */
export interface ProbeResult {
  readonly runMs: number;
}

export type EngineAnswer = LoadedSession | RunResult | ProbeResult | Record<string, never>;

/** Handed to the thread when it starts. */
export interface EngineThreadData {
  readonly provider: Provider;
  readonly threadsPerSession: number;
}

/** Main thread → engine thread. */
export interface EngineRequest {
  readonly id: number;
  readonly call: EngineCall;
}

/** Engine thread → main thread; answers come in the order of the requests. */
export type EngineResponse =
  | { readonly id: number; readonly kind: 'done'; readonly answer: EngineAnswer }
  | { readonly id: number; readonly kind: 'failed'; readonly message: string };
