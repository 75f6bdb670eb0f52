import type { Tensor } from '@nearfar/protocol';

/** Some rows of tensors whose first axis is the batch, in the order asked for. One row alone is a view. */
export function takeRows(tensors: readonly Tensor[], rows: readonly number[]): Tensor[] {
  return tensors.map(({ name, datatype, shape, data }) => {
    const rowBytes = data.byteLength / Math.max(1, shape[0] ?? 1);
    const views = rows.map((row) => data.subarray(row * rowBytes, (row + 1) * rowBytes));
    const [only] = views;
    const taken = views.length === 1 && only !== undefined ? only : joined(views, rowBytes);
    return { name, datatype, shape: [rows.length, ...shape.slice(1)], data: taken };
  });
}

/**
 * `tensors` with some rows in the place of their own: row `i` of `replacement` becomes row `rows[i]`. A tensor that the
 * replacement does not have stays as it is.
 */
export function replaceRows(
  tensors: readonly Tensor[],
  rows: readonly number[],
  replacement: readonly Tensor[],
): Tensor[] {
  return tensors.map((tensor) => {
    const other = replacement.find(({ name }) => name === tensor.name);
    if (other === undefined) return tensor;
    const data = tensor.data.slice();
    const rowBytes = data.byteLength / Math.max(1, tensor.shape[0] ?? 1);
    for (const [index, row] of rows.entries()) {
      data.set(other.data.subarray(index * rowBytes, (index + 1) * rowBytes), row * rowBytes);
    }
    return { ...tensor, data };
  });
}

function joined(views: readonly Uint8Array[], rowBytes: number): Uint8Array {
  const data = new Uint8Array(views.length * rowBytes);
  for (const [index, view] of views.entries()) data.set(view, index * rowBytes);
  return data;
}
