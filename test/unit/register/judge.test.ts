import { describe, expect, test } from 'vitest';
import type { Candidate } from '../../../register/src/candidate.ts';
import { type Bar, judge } from '../../../register/src/judge.ts';
import type { Trial } from '../../../register/src/trial.ts';

type Ran = Extract<Trial, { kind: 'ran' }>;

const BAR: Bar = { maxAccuracyDrop: 0.01, metric: 'top-1', inputs: 'eval' };
const UNLABELLED: Bar = { ...BAR, metric: undefined, inputs: 'samples' };

function candidate(overrides: Partial<Candidate> = {}): Candidate {
  return {
    variant: 'tiny-int8-onnx',
    model: 'tiny',
    precision: 'int8',
    format: 'onnx',
    origin: 'generated',
    base: 'tiny-fp32-onnx',
    declaredAccuracy: 0.8,
    artifacts: [],
    ...overrides,
  };
}

/** A trial of a classifier: `right` says which answers are right, `best` which label each is. */
function ran({ right = [], best, error = 0 }: { right?: number[]; best?: number[]; error?: number }): Ran {
  const answers = {
    right: Uint8Array.from(right),
    best: Int32Array.from(best ?? right),
    confidence: new Float32Array(right.length),
  };
  return { kind: 'ran', isBatchable: true, error, answers, right: undefined, same: undefined };
}

/** `count` answers, of which the first `wrong` are wrong. */
function answers(count: number, wrong: number): number[] {
  return Array.from({ length: count }, (_, index) => (index < wrong ? 0 : 1));
}

describe('judging a variant', () => {
  test('a supplied one is measured by itself, with its interval', () => {
    const verdict = judge(
      candidate({ origin: 'supplied', base: undefined }),
      ran({ right: answers(1_000, 100) }),
      undefined,
      BAR,
    );
    expect(verdict).toMatchObject({
      kind: 'accepted',
      accuracy: { value: 0.9, source: 'measured', sampleSize: 1_000, metric: 'top-1' },
    });
    expect(verdict.kind === 'accepted' && verdict.accuracy.interval).toEqual({
      low: expect.closeTo(0.8799, 3),
      high: expect.closeTo(0.9171, 3),
    });
  });

  test('a generated one that loses nothing is accepted with its drop', () => {
    const base = ran({ right: answers(1_000, 100) });
    const verdict = judge(candidate(), ran({ right: answers(1_000, 100) }), base, BAR);
    expect(verdict).toMatchObject({ kind: 'accepted', accuracy: { source: 'measured', drop: { value: 0 } } });
  });

  test('one that may lose more than allowed is rejected, with the interval as the reason', () => {
    const base = ran({ right: answers(1_000, 100) });
    const verdict = judge(candidate(), ran({ right: answers(1_000, 130) }), base, BAR);
    expect(verdict.kind).toBe('rejected');
    expect(verdict.kind === 'rejected' && verdict.reason).toMatch(/may lose .* points of accuracy/);
  });

  test('few labelled inputs prove nothing, however equal the answers are', () => {
    const base = ran({ right: answers(60, 6) });
    const verdict = judge(candidate(), ran({ right: answers(60, 6) }), base, BAR);
    expect(verdict.kind === 'rejected' && verdict.reason).toContain('more labelled data');
  });

  test('outputs that are far from the base are rejected before accuracy counts', () => {
    const base = ran({ right: answers(1_000, 100) });
    for (const error of [0.2, Number.NaN]) {
      const verdict = judge(candidate(), ran({ right: answers(1_000, 100), error }), base, BAR);
      expect(verdict.kind === 'rejected' && verdict.reason).toContain('relative error');
    }
  });

  test('without labels, what is declared is lowered by the disagreement and never called measured', () => {
    const base = ran({ right: answers(200, 0), best: answers(200, 0) });
    const verdict = judge(
      candidate(),
      ran({ right: answers(200, 0), best: answers(200, 2) }),
      base,
      UNLABELLED,
    );
    expect(verdict).toMatchObject({
      kind: 'accepted',
      accuracy: {
        value: expect.closeTo(0.79, 9),
        source: 'agreement',
        sampleSize: 0,
        agreement: { value: 0.99, sampleSize: 200, inputs: 'samples' },
      },
    });
  });

  test('agreement below 98 % is rejected', () => {
    const base = ran({ right: answers(200, 0), best: answers(200, 0) });
    const verdict = judge(
      candidate(),
      ran({ right: answers(200, 0), best: answers(200, 5) }),
      base,
      UNLABELLED,
    );
    expect(verdict.kind === 'rejected' && verdict.reason).toContain('agrees with its base on 97.5 % of 200');
  });

  test('tasks without labels agree by rows', () => {
    const of = (count: number): Ran => ({
      kind: 'ran',
      isBatchable: false,
      error: 0,
      answers: undefined,
      right: undefined,
      same: { count, total: 256 },
    });
    expect(judge(candidate({ declaredAccuracy: undefined }), of(256), of(256), UNLABELLED)).toMatchObject({
      kind: 'accepted',
      accuracy: { value: 0, source: 'agreement', agreement: { value: 1 } },
    });
    expect(judge(candidate(), of(200), of(256), UNLABELLED).kind).toBe('rejected');
  });
});
