import { isFloat, tensorValues } from '@nearfar/core';
import { MeshError, type Tensor } from '@nearfar/protocol';

/**
 * The class index of each row, from an array [N] or [N, 1] of whole numbers, which floats may hold as well.
 *
 * @param labels the task's labels; an index is below their number.
 * @param what where the array comes from, for messages.
 * @throws MeshError `MESH_BAD_EVAL_DATA`, naming the first row whose label is none of them.
 */
export function classLabels(
  array: Tensor,
  labels: readonly string[] | undefined,
  what: string,
): Uint32Array<ArrayBuffer> {
  const { shape } = array;
  if (shape.length !== 1 && !(shape.length === 2 && shape[1] === 1)) {
    const hint = shape.length === 2 ? '; of one-hot labels take the argmax' : '';
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to hold one label a row, shape [N], got [${shape.join(', ')}]${hint}`,
    );
  }
  const known = knownLabels(labels);
  const indexes = new Uint32Array(shape[0] ?? 0);
  const isAnyNumber = isFloat(array.datatype);
  let row = 0;
  for (const value of tensorValues(array)) {
    const label = Number(value);
    if (label < 0 || label >= known.length || (isAnyNumber && !Number.isInteger(label))) {
      throw new MeshError(
        'MESH_BAD_EVAL_DATA',
        `Expected the labels in ${what} to be whole numbers from 0 to ${known.length - 1}, as the manifest has ${known.length} labels, got ${value} in row ${row}`,
      );
    }
    indexes[row] = label;
    row += 1;
  }
  return indexes;
}

/** The task's labels. @throws MeshError `MESH_BAD_EVAL_DATA` when it has none. */
export function knownLabels(labels: readonly string[] | undefined): readonly string[] {
  if (labels !== undefined && labels.length > 0) return labels;
  throw new MeshError(
    'MESH_BAD_EVAL_DATA',
    'Expected "labels" in the manifest, of which the labels of the data are indexes, got none',
  );
}
