import type { ImagePreprocess, Tensor, TensorSignature } from '@nearfar/protocol';
import type { PictureSource } from '../pixels.ts';
import type { EngineName } from '../types.ts';

/** What a worker needs in order to start its engine. */
export interface EngineStart {
  readonly engine: EngineName;
  /** Absolute URL of the folder with the engine's own files, ending in a slash; undefined = the bundler's place. */
  readonly assetBase: string | undefined;
}

/** A variant's files, as they go into an engine. */
export interface ModelFiles {
  readonly spec: {
    readonly inputs: readonly TensorSignature[];
    readonly outputs: readonly TensorSignature[];
  };
  /** In the order of `spec.artifacts`: the first is the entry file. */
  readonly files: readonly { readonly path: string; readonly bytes: Uint8Array<ArrayBuffer> }[];
}

/** What the page asks of a worker. */
export type EngineCall =
  | { readonly kind: 'wake' }
  | { readonly kind: 'start'; readonly start: EngineStart }
  | { readonly kind: 'load'; readonly session: string; readonly model: ModelFiles }
  | { readonly kind: 'run'; readonly session: string; readonly tensors: readonly Tensor[] }
  | { readonly kind: 'unload'; readonly session: string }
  | { readonly kind: 'picture'; readonly source: PictureSource; readonly rule: ImagePreprocess };

export interface EngineRequest {
  readonly id: number;
  readonly call: EngineCall;
}

/** Answer to a call: tensors for `run` and `picture`, nothing for the others; `wake` only shows that somebody is there. */
export type EngineResponse =
  | { readonly id: number; readonly kind: 'done'; readonly tensors: readonly Tensor[] }
  | { readonly id: number; readonly kind: 'failed'; readonly code: string; readonly message: string };

/** One runtime inside the worker. The caller never has two calls under way. */
export interface Engine {
  /** Loads a model under a name, in the place of what had that name. */
  load(session: string, model: ModelFiles): Promise<void>;
  run(session: string, tensors: readonly Tensor[]): Promise<Tensor[]>;
  unload(session: string): Promise<void>;
}
