import { elementCount, MeshError, type Tensor } from '@nearfar/protocol';
import type { ThreadTensor } from './engine-messages.ts';

/** Inputs that a request carries along axis 0: the first dimension, which all of its tensors share. */
export function batchSizeOf(tensors: readonly Tensor[], isBatchable: boolean): number {
  if (!isBatchable) return 1;
  const sizes = new Set(tensors.map((tensor) => tensor.shape[0] ?? 1));
  const [size = 1] = sizes;
  if (sizes.size > 1 || size < 1) {
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Expected the first dimension of every input to be the same and at least 1, got ${[...sizes].join(', ')}`,
    );
  }
  return size;
}

/**
 * Joins the tensors of several requests along axis 0, name by name, in the order of the requests. This is the one
 * copy between the link and the runtime; the result owns its buffers.
 */
export function joinTensors(requests: readonly (readonly Tensor[])[]): ThreadTensor[] {
  const [first = []] = requests;
  return first.map(({ name, datatype, shape }) => {
    const parts = requests.map((tensors) => tensors.find((tensor) => tensor.name === name));
    const byteLength = parts.reduce((sum, part) => sum + (part?.data.byteLength ?? 0), 0);
    const data = new Uint8Array(byteLength);
    let offset = 0;
    let rows = 0;
    for (const part of parts) {
      if (part === undefined) throw new RangeError(`Expected every request of a batch to have "${name}"`);
      data.set(part.data, offset);
      offset += part.data.byteLength;
      rows += part.shape[0] ?? 1;
    }
    return { name, datatype, shape: requests.length === 1 ? shape : [rows, ...shape.slice(1)], data };
  });
}

/** Splits outputs along axis 0 into `sizes`: views of the same bytes, one list of tensors a request. */
export function splitTensors(outputs: readonly Tensor[], sizes: readonly number[]): Tensor[][] {
  if (sizes.length === 1) return [[...outputs]];
  checkRows(
    outputs,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  let start = 0;
  return sizes.map((size) => {
    const from = start;
    start += size;
    return outputs.map((output) => rowsOf(output, from, size));
  });
}

/** The sizes of the parts in which `size` rows run: as many of `maxBatch` as there are, then the rest. */
export function chunkSizes(size: number, maxBatch: number): number[] {
  return Array.from({ length: Math.ceil(size / maxBatch) }, (_, index) =>
    Math.min(maxBatch, size - index * maxBatch),
  );
}

/** @throws MeshError `MESH_EXECUTION_FAILED` unless every output has `rows` rows. */
export function checkRows(outputs: readonly Tensor[], rows: number): void {
  for (const { name, shape } of outputs) {
    if (shape[0] === rows) continue;
    throw new MeshError(
      'MESH_EXECUTION_FAILED',
      `Expected output "${name}" to have ${rows} rows for a batch of ${rows}, got shape [${shape.join(', ')}]`,
    );
  }
}

function rowsOf({ name, datatype, shape, data }: Tensor, start: number, count: number): Tensor {
  const rowBytes = (data.byteLength / elementCount(shape)) * elementCount(shape.slice(1));
  return {
    name,
    datatype,
    shape: [count, ...shape.slice(1)],
    data: data.subarray(start * rowBytes, (start + count) * rowBytes),
  };
}
