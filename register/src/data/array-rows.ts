import { tensorValues } from '@nearfar/core';
import { type Datatype, elementCount, MeshError, type Tensor, type TensorSignature } from '@nearfar/protocol';

/** Rows of arrays. */
export interface ArrayRows {
  readonly count: number;
  inputs(index: number): readonly Tensor[];
}

/** How the rows of one array become an input. */
interface Column {
  readonly count: number;
  at(index: number): Tensor;
}

/**
 * Rows whose inputs lie in arrays, one for each input and in the same order: [N, …] for an input [batch, …], or [N, a, b]
 * for an input [a, b] without a batch axis. Floats are rounded to an FP32 input, integers fit into a wider or (where they
 * are small enough) narrower one; everything else has to have the input's datatype.
 *
 * @param what the file's name for messages.
 * @throws MeshError `MESH_BAD_EVAL_DATA` when shapes, datatypes or the numbers of rows do not fit.
 */
export function arrayRows(
  inputs: readonly TensorSignature[],
  arrays: readonly Tensor[],
  what: string,
): ArrayRows {
  const columns = inputs.map((input, position) => columnOf(input, arrays[position], what));
  const [first] = columns;
  if (first === undefined) {
    throw new MeshError('MESH_BAD_EVAL_DATA', `Expected a model with inputs to read ${what} for, got none`);
  }
  const other = columns.findIndex(({ count }) => count !== first.count);
  if (other >= 0) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected the arrays in ${what} to have the same number of rows, got ${first.count} in "${arrays[0]?.name}" and ${columns[other]?.count} in "${arrays[other]?.name}"`,
    );
  }
  return { count: first.count, inputs: (index) => columns.map((column) => column.at(index)) };
}

function columnOf(input: TensorSignature, array: Tensor | undefined, what: string): Column {
  if (array === undefined) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected an array for input "${input.name}" in ${what}, found none`,
    );
  }
  const shape = rowShape(input, array.shape);
  if (shape === undefined) {
    const axes = input.shape.slice(hasBatchAxis(input) ? 1 : 0);
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected array "${array.name}" in ${what} to have shape [${['N', ...axes].join(', ')}] (-1 = any), got [${array.shape.join(', ')}]`,
    );
  }
  const convert = converter(array.datatype, input.datatype);
  if (convert === undefined) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected array "${array.name}" in ${what} to be ${input.datatype}, got ${array.datatype}; convert it with numpy's astype`,
    );
  }
  const [count = 0] = array.shape;
  const rowBytes = count === 0 ? 0 : array.data.byteLength / count;
  return {
    count,
    at: (index) => {
      const data = array.data.subarray(index * rowBytes, (index + 1) * rowBytes);
      const row: Tensor = { name: array.name, datatype: array.datatype, shape, data };
      return {
        name: input.name,
        datatype: input.datatype,
        shape,
        data: convert(row, `row ${index} of array "${array.name}" in ${what}`),
      };
    },
  };
}

function hasBatchAxis({ shape }: TensorSignature): boolean {
  return shape[0] === -1 || shape[0] === 1;
}

/** Shape of one row as the model takes it, or undefined when the array does not fit. */
function rowShape(input: TensorSignature, array: readonly number[]): readonly number[] | undefined {
  const [count, ...row] = array;
  if (count === undefined) return undefined;
  const fits = (shape: readonly number[]) =>
    shape.length === input.shape.length &&
    shape.every((dimension, axis) => input.shape[axis] === -1 || input.shape[axis] === dimension);
  if (hasBatchAxis(input) && fits([1, ...row])) return [1, ...row];
  // Without a batch axis, or with one that the array has as well.
  if (fits(row) && (!hasBatchAxis(input) || row[0] === 1)) return row;
  return undefined;
}

type Convert = (row: Tensor, what: string) => Uint8Array;

const INTEGERS: readonly Datatype[] = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'UINT64',
];
const FLOATS: readonly Datatype[] = ['FP16', 'BF16', 'FP32', 'FP64'];

/** How elements change their datatype, or undefined when they would lose their meaning. */
function converter(from: Datatype, to: Datatype): Convert | undefined {
  // A copy, since the elements of a row need not lie where their datatype may.
  if (from === to) return ({ data }) => new Uint8Array(data);
  const isInteger = INTEGERS.includes(from);
  if (to === 'FP32' && (isInteger || FLOATS.includes(from))) {
    return (row) => bytesOf(float32Of(row));
  }
  if (to === 'FP64' && (isInteger || FLOATS.includes(from))) {
    return (row) => bytesOf(Float64Array.from<number | bigint>(tensorValues(row), Number));
  }
  if (to === 'INT64' && isInteger) {
    return (row, what) => bytesOf(BigInt64Array.from(checked(row, -(2n ** 63n), 2n ** 63n - 1n, to, what)));
  }
  if (to === 'INT32' && isInteger) {
    return (row, what) =>
      bytesOf(Int32Array.from(checked(row, -(2n ** 31n), 2n ** 31n - 1n, to, what), Number));
  }
  return undefined;
}

function float32Of(tensor: Tensor): Float32Array {
  return Float32Array.from<number | bigint>(tensorValues(tensor), Number);
}

function checked(row: Tensor, low: bigint, high: bigint, to: Datatype, what: string): bigint[] {
  const values = Array.from<number | bigint, bigint>(tensorValues(row), BigInt);
  const wrong = values.find((value) => value < low || value > high);
  if (wrong === undefined) return values;
  throw new MeshError('MESH_BAD_EVAL_DATA', `Expected ${what} to fit ${to}, got ${wrong}`);
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The rows of an array as numbers, for labels that are no indexes. */
export function targetRows(array: Tensor): { readonly count: number; at(index: number): Float32Array } {
  const [count = 1, ...rest] = array.shape;
  const length = elementCount(rest);
  const values = float32Of(array);
  return { count, at: (index) => values.subarray(index * length, (index + 1) * length) };
}
