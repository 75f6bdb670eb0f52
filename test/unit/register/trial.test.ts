import { MeshError } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { tryVariant } from '../../../register/src/trial.ts';
import {
  answering,
  fakeRunner,
  memoryJournal,
  rowsOf,
  trialParts,
  trying,
} from '../../support/register/trials.ts';

const ROWS = rowsOf([
  [1, 2],
  [1, 2],
  [3, 5],
  [2, 8],
]);

describe('whether a variant takes batches', () => {
  const isBatchable = async (rows = ROWS, run = answering((values) => values)) => {
    const trial = await tryVariant(trying(), undefined, trialParts(rows, { runner: fakeRunner(run) }));
    if (trial.kind === 'failed') throw new Error(trial.reason);
    return trial.isBatchable;
  };
  /** Divides by the largest value of the batch, as one range for all inputs does. */
  const sharing = answering((values) => {
    const largest = Math.max(...values);
    return values.map((value) => value / largest);
  });

  test('shows in rows that give together what each gives alone', async () => {
    expect(await isBatchable()).toBe(true);
  });

  test('is not taken for granted because the first two rows happen to be alike', async () => {
    expect(await isBatchable(ROWS, sharing)).toBe(false);
  });

  test('is not proved by a single row, nor by rows of different shapes', async () => {
    expect(await isBatchable(rowsOf([[1, 2]]), sharing)).toBe(false);
    expect(await isBatchable(rowsOf([[1], [1, 2], [1, 2, 4]]), sharing)).toBe(false);
  });
});

test('rows of different shapes never run together', async () => {
  const shapes: string[] = [];
  const run = answering((values) => values);
  const runner = fakeRunner((lane, inputs) => {
    shapes.push(inputs[0]?.shape.join('×') ?? '');
    return run(lane, inputs);
  });
  const trial = await tryVariant(
    trying(),
    undefined,
    trialParts(rowsOf([[1], [2], [3, 4], [5, 6]]), { runner }),
  );
  expect(trial).toMatchObject({ kind: 'ran', isBatchable: true });
  expect(new Set(shapes)).toEqual(new Set(['1×1', '1×2', '2×1', '2×2']));
});

describe('the journal of trials', () => {
  test('spares a run of the same variant on the same rows', async () => {
    const parts = trialParts(ROWS);
    const runner = fakeRunner(answering((values) => values));
    const first = await tryVariant(trying(), undefined, { ...parts, runner });
    expect(await tryVariant(trying(), undefined, { ...parts, runner })).toEqual(first);
    expect(runner.loads).toBe(1);
  });

  test('keeps no failure: the machine may have been short of memory, or slow', async () => {
    const journal = memoryJournal();
    const failing = fakeRunner(() => Promise.reject(new MeshError('MESH_EXECUTION_FAILED', 'no memory')));
    const failed = await tryVariant(trying(), undefined, trialParts(ROWS, { journal, runner: failing }));
    expect(failed).toEqual({ kind: 'failed', reason: 'no memory' });
    expect(await tryVariant(trying(), undefined, trialParts(ROWS, { journal }))).toMatchObject({
      kind: 'ran',
    });
  });

  test('tells apart what the task calls a tensor: a tfjs file does not say it', async () => {
    const parts = trialParts(ROWS);
    const runner = fakeRunner(answering((values) => values));
    await tryVariant(trying(), undefined, { ...parts, runner });
    await tryVariant(trying({}, 'z'), undefined, { ...parts, runner });
    expect(runner.loads).toBe(2);
  });
});
