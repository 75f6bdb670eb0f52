import type { Datatype, TensorSignature } from '@nearfar/protocol';

/** What onnxruntime calls its ways to run. */
export type Provider = 'cpu' | 'cuda' | 'webgpu';

/** A tensor on its way between threads: it owns its buffer, which is transferred, not copied. */
export interface ThreadTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A tensor whose memory threads share: it can be handed to any number of runs, each of which copies it in its thread. */
export interface SharedTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array<SharedArrayBuffer>;
}

/** One file of a model; its bytes are shared by all threads that load it. */
export interface ModelFile {
  /** As the other files refer to it. */
  readonly path: string;
  readonly bytes: SharedArrayBuffer;
}

/** A model as an engine thread loads it. */
export interface ModelSource {
  readonly format: 'onnx' | 'tfjs';
  /** The first is the `.onnx` or `model.json`; the others are what it refers to (external data, weights). */
  readonly files: readonly ModelFile[];
  /** What runs give it. The names of a tfjs model may be other ones: then they are taken by position. */
  readonly inputs: readonly TensorSignature[];
  /** What runs give back, in this order. */
  readonly outputs: readonly TensorSignature[];
}

/** What an engine thread is asked to do. */
export type EngineCall =
  | { readonly type: 'load'; readonly session: string; readonly source: ModelSource }
  | {
      readonly type: 'run';
      readonly session: string;
      readonly tensors: readonly (ThreadTensor | SharedTensor)[];
    }
  | {
      readonly type: 'measure';
      readonly session: string;
      readonly tensors: readonly SharedTensor[];
      readonly limits: MeasureLimits;
    }
  | { readonly type: 'unload'; readonly session: string }
  | { readonly type: 'probe'; readonly provider: Provider }
  /** Ends the thread, after the calls before it. */
  | { readonly type: 'exit' };

/** What a session says of itself once it is loaded. */
export interface LoadedSession {
  /** Milliseconds of reading the files and creating the session, without the start of its thread. */
  readonly loadMs: number;
}

/** Outputs of one run and how long the device took for it. */
export interface RunResult {
  /** In the order of the model's signature. */
  readonly tensors: readonly ThreadTensor[];
  readonly computeMs: number;
}

/** How often a session is run to be measured. */
export interface MeasureLimits {
  /** At least 1. */
  readonly runs: number;
  /** Milliseconds of compute after which no further run is begun. */
  readonly withinMs: number;
}

/** What a measurement gave. */
export interface MeasuredTimes {
  /** Milliseconds of each run; at least one. */
  readonly timesMs: readonly number[];
}

/** Median time of the probe model on one provider. */
export interface ProbeResult {
  readonly runMs: number;
}

export type EngineAnswer = LoadedSession | RunResult | MeasuredTimes | ProbeResult | Record<string, never>;

/** Handed to the thread when it starts. */
export interface EngineThreadData {
  /** What onnxruntime runs on; tfjs always runs on the CPU. */
  readonly provider: Provider;
  /** Cores that one session computes on. */
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
