import { splitHalves } from '@nearfar/core';
import { describe, expect, test } from 'vitest';
import type { Candidate } from '../../../register/src/candidate.ts';
import { makeCascades } from '../../../register/src/cascades.ts';
import type { Accepted } from '../../../register/src/trial.ts';
import { trying } from '../../support/register/trials.ts';

const COUNT = 400;

/** A supplied classifier: `isRight` and `isSure` of each row. */
function stage(
  overrides: Partial<Candidate>,
  isRight: (row: number) => boolean,
  isSure: (row: number) => boolean = () => true,
): Accepted {
  const of = trying(overrides);
  const right = Uint8Array.from({ length: COUNT }, (_, row) => (isRight(row) ? 1 : 0));
  const confidence = Float32Array.from({ length: COUNT }, (_, row) => (isSure(row) ? 0.95 : 0.4));
  return {
    candidate: of.candidate,
    trying: of,
    trial: {
      kind: 'ran',
      isBatchable: true,
      error: 0,
      answers: { best: new Int32Array(COUNT), confidence, right },
      right: undefined,
      same: undefined,
    },
    accuracy: {
      value: right.reduce((sum, value) => sum + value, 0) / COUNT,
      source: 'measured',
      sampleSize: COUNT,
    },
  };
}

const bytes = (sizeBytes: number) => [{ path: 'model', sha256: '0'.repeat(64), sizeBytes }];
const SMALL = { variant: 'small-fp32-onnx', model: 'small', artifacts: bytes(10) };
const LARGE = { variant: 'large-fp32-onnx', model: 'large', artifacts: bytes(100) };
const isOdd = (row: number) => row % 5 === 0;
const large = stage(LARGE, () => true);

describe('cascades', () => {
  test('escalate what the small stage is not sure of', () => {
    const [cascade, ...others] = makeCascades(
      [
        large,
        stage(
          SMALL,
          (row) => !isOdd(row),
          (row) => !isOdd(row),
        ),
      ],
      'top-1',
    );
    expect(others).toEqual([]);
    expect(cascade).toMatchObject({
      variant: 'small..large.t41',
      accuracy: { value: 1, source: 'measured', sampleSize: COUNT / 2, drop: { value: 0 } },
      cascade: { small: 'small-fp32-onnx', large: 'large-fp32-onnx' },
    });
    expect(cascade?.cascade?.escalation.value).toBeCloseTo(0.2, 1);
  });

  test('take a model for what its fp32 ONNX file gives, in whatever order the manifest lists its files', () => {
    const other = { ...SMALL, variant: 'small-int8-tfjs', format: 'tfjs', precision: 'int8' } as const;
    const answers = [(row: number) => !isOdd(row), (row: number) => !isOdd(row)] as const;
    const [cascade] = makeCascades([stage(other, ...answers), stage(SMALL, ...answers), large], 'top-1');
    expect(cascade?.cascade?.small).toBe('small-fp32-onnx');
  });

  test('are compared with their small stage on the half that they are measured on', () => {
    // All that the small stage gets wrong lies in the half that the threshold is chosen on.
    const { calibration } = splitHalves(Array.from({ length: COUNT }, (_, row) => row));
    const wrong = new Set(calibration.slice(0, 50));
    const small = stage(
      SMALL,
      (row) => !wrong.has(row),
      (row) => !wrong.has(row),
    );
    expect(makeCascades([small, large], 'top-1')).toEqual([]);
  });
});
