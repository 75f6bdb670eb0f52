import { MeshError, type Tensor } from '@nearfar/protocol';
import type { Rows } from './rows.ts';
import type { LoadedVariant } from './variant-runner.ts';

/** Rows that run together where the variant takes batches: enough to amortise a call, too few to need much memory. */
const BATCH = 16;

export interface RowsRun {
  readonly loaded: LoadedVariant;
  readonly rows: Rows;
  /** Which rows, in order. */
  readonly positions: readonly number[];
  readonly isBatchable: boolean;
  readonly signal: AbortSignal;
  /** Called with the outputs of each row, in no certain order; the tensors are views of a batch. */
  readonly onRow: (index: number, outputs: readonly Tensor[]) => void;
  /** Called now and then with the number of rows that are done. */
  readonly onProgress: (done: number) => void;
}

/** Runs rows on every lane of a variant. Rejects with the signal's reason when it aborts. */
export async function runRows(run: RowsRun): Promise<void> {
  const { loaded, rows, positions, isBatchable, signal, onRow, onProgress } = run;
  const batch = isBatchable ? BATCH : 1;
  let next = 0;
  let done = 0;
  const lane = async (number: number) => {
    while (next < positions.length) {
      signal.throwIfAborted();
      const first = next;
      const part = takeAlike(rows, positions.slice(first, first + batch));
      next = first + part.length;
      const outputs = await loaded.run(number, joinRows(part));
      for (const index of part.keys()) onRow(first + index, rowOf(outputs, index, part.length));
      done += part.length;
      onProgress(done);
    }
  };
  await Promise.all(Array.from({ length: loaded.lanes }, (_, number) => lane(number)));
}

/** The rows at `positions` up to the first that has other shapes, which cannot be in a batch with them. */
function takeAlike(rows: Rows, positions: readonly number[]): (readonly Tensor[])[] {
  const taken: (readonly Tensor[])[] = [];
  for (const position of positions) {
    const row = rows.inputs(position);
    if (!areAlike(taken[0] ?? row, row)) break;
    taken.push(row);
  }
  return taken;
}

/** Whether two rows have the same shapes: an axis of free size may have another size in each. */
export function areAlike(a: readonly Tensor[], b: readonly Tensor[]): boolean {
  return a.every(({ shape }, index) => shape.join() === b[index]?.shape.join());
}

/** Several rows of the same shapes as one batch: each input joined along axis 0. */
export function joinRows(rows: readonly (readonly Tensor[])[]): readonly Tensor[] {
  const [first = []] = rows;
  if (rows.length === 1) return first;
  return first.map((tensor, position) => {
    const parts = rows.map((row) => row[position]?.data ?? new Uint8Array());
    const data = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
    let offset = 0;
    for (const part of parts) {
      data.set(part, offset);
      offset += part.byteLength;
    }
    return { ...tensor, shape: [rows.length, ...tensor.shape.slice(1)], data };
  });
}

function rowOf(outputs: readonly Tensor[], index: number, count: number): readonly Tensor[] {
  if (count === 1) return outputs;
  return outputs.map((output) => {
    if (output.shape[0] !== count) {
      throw new MeshError(
        'MESH_EXECUTION_FAILED',
        `Expected output "${output.name}" to have ${count} rows for ${count} inputs, got shape [${output.shape.join(', ')}]`,
      );
    }
    const rowBytes = output.data.byteLength / count;
    const data = output.data.subarray(index * rowBytes, (index + 1) * rowBytes);
    return { ...output, shape: [1, ...output.shape.slice(1)], data };
  });
}
