import { createMemoryArtifacts } from '@nearfar/coordinator';
import { parseGolden } from '@nearfar/core';
import { float32Tensor, float32Values, type Tensor } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { keepGolden } from '../../../register/src/golden.ts';
import type { Rows } from '../../../register/src/rows.ts';
import type { Trying } from '../../../register/src/trial.ts';
import {
  answering,
  fakeRunner,
  memoryJournal,
  rowsOf,
  trialParts,
  trying,
} from '../../support/register/trials.ts';

const same = answering((values) => values);

describe('a golden pair', () => {
  const stores = () => ({ artifacts: createMemoryArtifacts(), journal: memoryJournal() });

  async function golden(
    rows: Rows,
    run = same,
    { of = trying(), kept = stores() }: { of?: Trying; kept?: ReturnType<typeof stores> } = {},
  ) {
    const parts = trialParts(rows, { runner: fakeRunner(run) });
    const { sha256 } = await keepGolden(of, true, parts, kept);
    return parseGolden(await kept.artifacts.read(sha256), of.candidate);
  }
  const shapesOf = (tensors: readonly Tensor[]) => tensors.map(({ name, shape }) => [name, ...shape]);
  const valuesOf = ([tensor]: readonly Tensor[]) => (tensor === undefined ? [] : [...float32Values(tensor)]);

  test('has two rows of a variant that takes batches, moved to a grid', async () => {
    const { inputs, outputs } = await golden(
      rowsOf([
        [0, 0.3],
        [1, 0.7],
        [5, 5],
      ]),
    );
    expect(shapesOf(inputs)).toEqual([['x', 2, 2]]);
    expect(valuesOf(inputs)).toEqual(valuesOf(outputs));
    expect(valuesOf(inputs)[1]).toBeCloseTo(0.3, 2);
  });

  test('has one row where the next one is of another shape', async () => {
    expect(
      shapesOf(
        (
          await golden(
            rowsOf([
              [0, 1],
              [1, 2, 3],
            ]),
          )
        ).inputs,
      ),
    ).toEqual([['x', 1, 2]]);
  });

  test('has inputs as they are where they hold infinity', async () => {
    const masked = [0.3, Number.NEGATIVE_INFINITY];
    const { inputs } = await golden(
      rowsOf([masked]),
      answering(() => [1, 1]),
    );
    expect(valuesOf(inputs)).toEqual(masked.map(Math.fround));
  });

  test('has inputs as they are where the model gives no numbers on the grid', async () => {
    const known = new Set([0, 0.3, 1].map(Math.fround));
    const run = answering((values) => values.map((value) => (known.has(value) ? value : Number.NaN)));
    const { inputs, outputs } = await golden(rowsOf([[0, 0.3, 1]]), run);
    expect(valuesOf(inputs)).toEqual([...known]);
    expect(valuesOf(outputs)).toEqual([...known]);
  });

  test('is made anew when the task calls an output otherwise', async () => {
    const kept = stores();
    const naming = (name: string) => async () => [float32Tensor(name, [1, 1], Float32Array.of(1))];
    await golden(rowsOf([[1]]), naming('y'), { kept });
    const { outputs } = await golden(rowsOf([[1]]), naming('z'), { of: trying({}, 'z'), kept });
    expect(shapesOf(outputs)).toEqual([['z', 1, 1]]);
  });
});
