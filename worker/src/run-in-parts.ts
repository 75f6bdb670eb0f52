import { checkRows, chunkSizes, joinTensors, splitTensors } from './batch-tensors.ts';
import type { RunResult, ThreadTensor } from './engine-messages.ts';

/**
 * Runs joined inputs of `size` rows: as they are, or in parts of `maxBatch` rows, one after another, whose outputs are
 * joined and whose times are added.
 */
export async function runInParts(
  run: (part: readonly ThreadTensor[], rows: number) => Promise<RunResult>,
  inputs: readonly ThreadTensor[],
  size: number,
  maxBatch: number,
): Promise<RunResult> {
  if (size <= maxBatch) return await run(inputs, size);
  const sizes = chunkSizes(size, maxBatch);
  const outputs: RunResult['tensors'][] = [];
  let computeMs = 0;
  for (const [index, part] of splitTensors(inputs, sizes).entries()) {
    const rows = sizes[index] ?? 0;
    // Joining a single part copies it: a run takes the buffer of its inputs away.
    const result = await run(joinTensors([part]), rows);
    checkRows(result.tensors, rows);
    outputs.push(result.tensors);
    computeMs += result.computeMs;
  }
  return { tensors: joinTensors(outputs), computeMs };
}
