import { classify } from '@nearfar/core';
import { type ClassificationPostprocess, float32Tensor } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';

const labels = ['zero', 'one', 'two'];

function classified(
  scores: readonly number[],
  activation: ClassificationPostprocess['activation'] = 'softmax',
) {
  const output = float32Tensor('logits', [1, scores.length], Float32Array.from(scores));
  return classify([output], { kind: 'classification', output: 'logits', activation }, labels);
}

describe('classify', () => {
  test('gives the labels best first, equal ones in their order', () => {
    expect(classified([1, 3, 1], 'none').map(({ label }) => label)).toEqual(['one', 'zero', 'two']);
  });

  test.each(['softmax', 'sigmoid', 'none'] as const)(
    '%s refuses scores that are no finite numbers',
    (activation) => {
      for (const score of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        expect(() => classified([0, score, 1], activation)).toThrow(
          expect.objectContaining({
            code: 'MESH_EXECUTION_FAILED',
            message: `Expected the model to give finite scores, got ${score} for "one"`,
          }),
        );
      }
    },
  );
});
