import type { Tensor, TensorSignature } from '@nearfar/protocol';
import type { VariantFile } from './read-models.ts';

/** A variant as it is loaded in order to be tried. */
export interface RunnableVariant {
  readonly variant: string;
  readonly format: 'onnx' | 'tfjs';
  readonly files: readonly VariantFile[];
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
}

/** A variant in memory, on `lanes` threads. */
export interface LoadedVariant {
  /** Runs that may be under way at the same time. */
  readonly lanes: number;
  /** Outputs in the signature's order. Rejects with `MESH_EXECUTION_FAILED`, with the runtime's reason. */
  run(lane: number, inputs: readonly Tensor[]): Promise<readonly Tensor[]>;
  /** Frees it. May be called twice. */
  close(): Promise<void>;
}

/** Runs variants on this machine's CPU, by the code that serves them on the edge. */
export interface VariantRunner {
  /** Rejects with `MESH_VARIANT_FAILED` when the runtime cannot load it, with the runtime's reason. */
  load(variant: RunnableVariant): Promise<LoadedVariant>;
}
