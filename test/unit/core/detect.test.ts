import { detect, MAX_DETECTIONS, predict } from '@nearfar/core';
import { type DetectionPostprocess, float32Tensor, type Prediction, type Tensor } from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const RULE: DetectionPostprocess = {
  kind: 'detection',
  scores: 'scores',
  boxes: 'boxes',
  hasBackground: false,
  activation: 'none',
  minScore: 0.5,
  maxOverlap: 0.5,
};

type Box = [number, number, number, number];

const LEFT: Box = [0, 0, 0.5, 1];
const RIGHT: Box = [0.5, 0, 1, 1];
/** Overlaps LEFT by 0.4 / 0.6. */
const NEAR_LEFT: Box = [0.1, 0, 0.6, 1];

function tensors(scores: readonly number[][], boxes: readonly Box[]): Tensor[] {
  const columns = scores[0]?.length ?? 1;
  return [
    float32Tensor('scores', [1, scores.length, columns], Float32Array.from(scores.flat())),
    float32Tensor('boxes', [1, boxes.length, 4], Float32Array.from(boxes.flat())),
  ];
}

function detected(
  scores: readonly number[][],
  boxes: readonly Box[],
  rule: Partial<DetectionPostprocess> = {},
  labels: readonly string[] = ['face'],
): Prediction[] {
  return detect(tensors(scores, boxes), { ...RULE, ...rule }, labels);
}

const round = ({ label, score, box }: Prediction) => [
  label,
  Number(score.toFixed(3)),
  box?.map((value) => Number(value.toFixed(3))),
];

describe('detect', () => {
  test('gives the boxes from the minimum score on, best first', () => {
    expect(detected([[0.5], [0.9], [0.49]], [LEFT, RIGHT, LEFT]).map(round)).toEqual([
      ['face', 0.9, RIGHT],
      ['face', 0.5, LEFT],
    ]);
  });

  test('of two boxes of one label that overlap too much, the lower score is left out', () => {
    expect(detected([[0.8], [0.9]], [LEFT, NEAR_LEFT]).map(round)).toEqual([['face', 0.9, NEAR_LEFT]]);
    expect(detected([[0.8], [0.9]], [LEFT, NEAR_LEFT], { maxOverlap: 0.7 })).toHaveLength(2);
  });

  test('boxes of different labels do not suppress each other', () => {
    const found = detected(
      [
        [0.8, 0.1],
        [0.1, 0.9],
      ],
      [LEFT, LEFT],
      {},
      ['cat', 'dog'],
    );
    expect(found.map(({ label }) => label)).toEqual(['dog', 'cat']);
  });

  test('a box that was suppressed suppresses no other', () => {
    const third: Box = [0.2, 0, 0.7, 1];
    // The middle box overlaps both others; those overlap each other by 0.3 / 0.7 only.
    expect(detected([[0.9], [0.8], [0.7]], [LEFT, NEAR_LEFT, third]).map(({ score }) => score)).toEqual([
      Math.fround(0.9),
      Math.fround(0.7),
    ]);
  });

  test('drops the background column, which takes part in the softmax', () => {
    const found = detected(
      [
        [0, 2],
        [2, 0],
      ],
      [LEFT, RIGHT],
      { hasBackground: true, activation: 'softmax' },
    );
    expect(found.map(round)).toEqual([['face', 0.881, LEFT]]);
  });

  test('a sigmoid takes each score by itself', () => {
    expect(
      detected([[0, 1]], [LEFT], { activation: 'sigmoid', minScore: 0.4 }, ['cat', 'dog']).map(round),
    ).toEqual([
      ['dog', 0.731, LEFT],
      ['cat', 0.5, LEFT],
    ]);
  });

  test('clamps boxes to the picture and drops those of which nothing is left', () => {
    const boxes: Box[] = [
      [-0.5, -1, 0.5, 2],
      [1.1, 0, 1.5, 1],
      [0.6, 0, 0.5, 1],
    ];
    expect(detected([[0.9], [0.9], [0.9]], boxes).map(round)).toEqual([['face', 0.9, LEFT]]);
  });

  test(`gives at most ${MAX_DETECTIONS}, the best ones`, () => {
    const count = 150;
    const scores = Array.from({ length: count }, (_, index) => [0.5 + index / 1000]);
    const boxes = Array.from(
      { length: count },
      (_, index): Box => [index / count, 0, (index + 1) / count, 1],
    );
    const found = detected(scores, boxes);
    expect(found).toHaveLength(MAX_DETECTIONS);
    expect(found[0]?.score).toBe(Math.fround(0.649));
  });

  test('no boxes give no detections', () => {
    const none = [
      float32Tensor('scores', [1, 0, 1], new Float32Array()),
      float32Tensor('boxes', [1, 0, 4], new Float32Array()),
    ];
    expect(detect(none, RULE, ['face'])).toEqual([]);
  });

  test.each([
    ['a missing output', [tensors([[1]], [LEFT])[0] as Tensor], 'The model gave no output "boxes"'],
    [
      'other columns than labels',
      tensors([[1, 0]], [LEFT]),
      'Expected output "scores" to have shape [1, boxes, 1], got [1, 1, 2]',
    ],
    [
      'several pictures',
      [
        float32Tensor('scores', [2, 1, 1], new Float32Array(2)),
        float32Tensor('boxes', [2, 1, 4], new Float32Array(8)),
      ],
      'Expected output "scores" to have shape [1, boxes, 1], got [2, 1, 1]',
    ],
    [
      'another number of boxes than of scores',
      tensors([[1]], [LEFT, RIGHT]),
      'Expected as many boxes in "boxes" as in "scores", got 2 and 1',
    ],
    [
      'values that do not fill the shape',
      [
        float32Tensor('scores', [1, 2, 1], new Float32Array(1)),
        float32Tensor('boxes', [1, 2, 4], new Float32Array(8)),
      ],
      'Expected output "scores" of shape [1, 2, 1] to hold 2 values, got 1',
    ],
    [
      'a score that is no number',
      tensors([[0.9], [Number.NaN]], [LEFT, RIGHT]),
      'Expected the model to give finite values in "scores", got NaN for box 1',
    ],
    [
      'an infinite corner',
      tensors([[0.9]], [[0, 0, Number.POSITIVE_INFINITY, 1]]),
      'Expected the model to give finite values in "boxes", got Infinity for box 0',
    ],
  ])('%s is refused', (_, outputs, message) => {
    expect(() => detect(outputs, RULE, ['face'])).toThrow(
      expect.objectContaining({ code: 'MESH_EXECUTION_FAILED', message }),
    );
  });

  test('for any finite outputs: inside the picture, best first, above the minimum, no two of a label overlap', () => {
    const coordinate = fc.float({ min: -1, max: 2, noNaN: true });
    const row = fc.record({
      scores: fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 3, maxLength: 3 }),
      box: fc.tuple(coordinate, coordinate, coordinate, coordinate),
    });
    const rule = fc.record({
      activation: fc.constantFrom('softmax' as const, 'sigmoid' as const),
      minScore: fc.double({ min: 0, max: 1, noNaN: true }),
      maxOverlap: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 60 }), rule, (rows, over) => {
        const found = detected(
          rows.map(({ scores }) => scores),
          rows.map(({ box }) => box),
          { ...over, hasBackground: true },
          ['cat', 'dog'],
        );
        for (const [index, { score, box, label }] of found.entries()) {
          expect(score).toBeGreaterThanOrEqual(over.minScore);
          expect(score).toBeLessThanOrEqual(found[index - 1]?.score ?? 1);
          expect(box?.every((value) => value >= 0 && value <= 1)).toBe(true);
          for (const other of found.slice(0, index).filter((entry) => entry.label === label)) {
            expect(overlap(box as Box, other.box as Box)).toBeLessThanOrEqual(over.maxOverlap + 1e-9);
          }
        }
      }),
    );
  });
});

describe('predict', () => {
  test('detects or classifies, as the rule says', () => {
    const logits = float32Tensor('logits', [1, 2], Float32Array.of(1, 3));
    const classification = { kind: 'classification', output: 'logits', activation: 'none' } as const;
    expect(predict([logits], classification, ['cat', 'dog'])).toEqual([
      { label: 'dog', score: 3 },
      { label: 'cat', score: 1 },
    ]);
    expect(predict(tensors([[1]], [LEFT]), RULE, ['face'])).toEqual([{ label: 'face', score: 1, box: LEFT }]);
  });
});

/** By counting on the intervals of both axes, written apart from the code under test. */
function overlap(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const common = width > 0 && height > 0 ? width * height : 0;
  const total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common;
  return common / total;
}
