import { halfBitsOf, LARGEST_HALF } from '../onnx/half.ts';
import type { ConstantNode } from './tf-graph.ts';
import type { NamedConstant } from './write-graph.ts';

/** How weights are stored. `fp16` ones are half the bytes; tfjs makes them fp32 when it loads them and computes in fp32. */
export type WeightFormat = 'fp32' | 'fp16';

/** An entry of `weightsManifest` (tfjs-core: io/types.ts, WeightsManifestEntry). */
export interface WeightEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'int32';
  readonly quantization?: { readonly dtype: 'float16'; readonly original_dtype: 'float32' };
}

/** The constants one after another, little-endian, and their entries in the same order. */
export function writeWeights(
  constants: readonly NamedConstant[],
  format: WeightFormat,
): { readonly entries: readonly WeightEntry[]; readonly bytes: Uint8Array } {
  const parts = constants.map(({ name, node }) => {
    const { shape, values } = node;
    if (format === 'fp16' && isStoredAsHalf(node)) {
      const quantization = { dtype: 'float16', original_dtype: 'float32' } as const;
      return {
        entry: { name, shape, dtype: 'float32', quantization } as const,
        values: Uint16Array.from(values, halfBitsOf),
      };
    }
    const dtype = values instanceof Float32Array ? 'float32' : 'int32';
    return { entry: { name, shape, dtype } as const, values };
  });
  return {
    entries: parts.map(({ entry }) => entry),
    bytes: Buffer.concat(
      parts.map(({ values }) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
    ),
  };
}

/** Numbers that fp16 cannot hold stay as they are, and so do single ones and parameters, which save nothing. */
function isStoredAsHalf({ role, values }: ConstantNode): boolean {
  return role === 'weights' && values.length > 1 && values.every((value) => Math.abs(value) <= LARGEST_HALF);
}
