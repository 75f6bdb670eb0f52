import { DATATYPE_BYTES, elementCount, type Tensor, type VariantSpec } from '@nearfar/protocol';
import type { SharedTensor } from './engine-messages.ts';

/**
 * Inputs to measure a variant with: the first row of its known inputs, repeated to `batch` rows, or, where there are none,
 * zeros. Not every model takes zeros (a sample rate of 0, say), and some are faster on them. A free dimension of which
 * nothing is known is taken as 1.
 */
export function measuringInputs(
  { inputs, isBatchable }: Pick<VariantSpec, 'inputs' | 'isBatchable'>,
  batch: number,
  known: readonly Tensor[] | undefined,
): SharedTensor[] {
  return inputs.map(({ name, datatype, shape }) => {
    const example = known?.find((tensor) => tensor.name === name);
    const exampleShape =
      example?.shape ??
      shape.map((dimension, axis) => (dimension !== -1 ? dimension : axis === 0 ? batch : 1));
    const sized = isBatchable ? [batch, ...exampleShape.slice(1)] : exampleShape;
    const data = new Uint8Array(new SharedArrayBuffer(elementCount(sized) * DATATYPE_BYTES[datatype]));
    if (example !== undefined) fillWithRows(data, example, isBatchable ? batch : 1);
    return { name, datatype, shape: sized, data };
  });
}

/** Writes the first `byteLength / rows` bytes of the example `rows` times. */
function fillWithRows(data: Uint8Array, example: Tensor, rows: number): void {
  const row = example.data.subarray(0, data.byteLength / rows);
  for (let index = 0; index < rows; index++) data.set(row, index * row.byteLength);
}
