import {
  checkGolden,
  decide,
  explainCandidates,
  type GoldenCase,
  type JudgedOption,
  parseGolden,
} from '@nearfar/core';
import { candidateSchema, float32Tensor, float32Values, type Tensor } from '@nearfar/protocol';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { option, parts, spec, time } from './builders.ts';

const tensor = (name: string, ...values: number[]): Tensor =>
  float32Tensor(name, [1, values.length], Float32Array.from(values));

function golden(...outputs: Tensor[]): GoldenCase {
  return { inputs: [tensor('x', 1)], outputs };
}

/** Values as a golden file holds them. */
const entry = (shape: number[], ...values: number[]) => ({
  datatype: 'FP32',
  shape,
  base64: Buffer.from(Float32Array.from(values).buffer).toString('base64'),
});

const encode = (json: unknown) => new TextEncoder().encode(JSON.stringify(json));
const tiny = { variant: 'tiny-fp32-onnx', model: 'tiny' };

describe('golden outputs', () => {
  test('pass within the tolerance, in any order and among others', () => {
    const known = golden(tensor('y', 1, 2), tensor('z', 3));
    const found = [tensor('extra', 9), tensor('z', 3.05), tensor('y', 1, 1.95)];
    expect(() => checkGolden(known, found, 0.1)).not.toThrow();
  });

  test('fail beyond it, naming the output and the difference', () => {
    const known = golden(tensor('y', 1, 2));
    expect(() => checkGolden(known, [tensor('y', 1, 2.25)], 0.1)).toThrow(
      expect.objectContaining({
        code: 'MESH_VARIANT_FAILED',
        message: expect.stringMatching(/"y" differs by 0\.250 .* more than 0\.1/),
      }),
    );
  });

  test('a difference of exactly the tolerance passes', () => {
    expect(() => checkGolden(golden(tensor('y', 1)), [tensor('y', 1.5)], 0.5)).not.toThrow();
  });

  test.each([
    ['NaN', [Number.NaN, 2]],
    ['NaN after a good value', [1, Number.NaN]],
    ['an infinity', [1, Number.POSITIVE_INFINITY]],
  ])('%s fails', (_, values) => {
    expect(() => checkGolden(golden(tensor('y', 1, 2)), [tensor('y', ...values)], 1e6)).toThrow(
      expect.objectContaining({ code: 'MESH_VARIANT_FAILED' }),
    );
  });

  test('a missing output fails, and so does one of another size', () => {
    const known = golden(tensor('y', 1, 2));
    expect(() => checkGolden(known, [tensor('z', 1, 2)], 1)).toThrow(/"y" of shape \[1, 2\], got none/);
    expect(() => checkGolden(known, [tensor('y', 1)], 1)).toThrow(/got \[1, 1\]/);
  });
});

describe('golden file', () => {
  test('gives inputs and the outputs of the model', () => {
    const bytes = encode({
      inputs: { x: entry([1, 2], 1, 2) },
      outputs: { tiny: { y: entry([1, 1], 3) }, small: { y: entry([1, 1], 4) } },
    });
    const { inputs, outputs } = parseGolden(bytes, tiny);
    expect(inputs).toEqual([tensor('x', 1, 2)]);
    expect(outputs.map((output) => [output.name, ...float32Values(output)])).toEqual([['y', 3]]);
  });

  test.each([
    ['is no JSON', new TextEncoder().encode('{')],
    ['is no text', Uint8Array.of(0xff, 0xfe)],
    ['has other fields', encode({ inputs: {}, output: {} })],
    ['does not know the model', encode({ inputs: {}, outputs: { small: {} } })],
    [
      'has values that are no base64',
      encode({
        inputs: { x: { ...entry([1, 1], 1), base64: '!' } },
        outputs: { tiny: {} },
      }),
    ],
    [
      'has fewer values than its shape',
      encode({ inputs: { x: entry([2, 2], 1, 2) }, outputs: { tiny: {} } }),
    ],
  ])('one that %s is a bad manifest', (_, bytes) => {
    expect(() => parseGolden(bytes, tiny)).toThrow(
      expect.objectContaining({
        code: 'MESH_BAD_MANIFEST',
        message: expect.stringContaining('tiny-fp32-onnx'),
      }),
    );
  });
});

describe('explanation', () => {
  const cheap = option({ variant: 'cheap', costPicoUsd: 1_000_000 });
  const dear = option({ variant: 'dear', costPicoUsd: 2_000_000, worstCostPicoUsd: 5_000_000 });
  const slow = option({ variant: 'slow', costPicoUsd: 1, parts: parts({ compute: time(900, 10) }) });

  test('lists every candidate in the order in which it was judged, with its verdict', () => {
    const candidates = explainCandidates(decide(spec({ slo_ms: 100 }), [dear, slow, cheap]));
    expect(candidates.map(({ variant, verdict }) => [variant, verdict])).toEqual([
      ['dear', 'feasible'],
      ['slow', 'infeasible'],
      ['cheap', 'chosen'],
    ]);
    expect(candidates.map(({ reasons }) => reasons.map(({ code }) => code))).toEqual([[], ['too-slow'], []]);
    expect(candidates[0]).toMatchObject({ costUsd: 2e-6, worstCostUsd: 5e-6, predictedMs: 5, tailMs: 5 });
  });

  test('the best effort is chosen, whatever its reasons', () => {
    const [candidate] = explainCandidates(decide(spec({ slo_ms: 100 }), [slow]));
    expect(candidate).toMatchObject({ verdict: 'chosen', reasons: [{ code: 'too-slow' }] });
  });

  test('nothing is chosen in a refusal', () => {
    const refused = decide(spec({ slo_ms: 100, on_infeasible: 'reject' }), [slow]);
    expect(explainCandidates(refused).map(({ verdict }) => verdict)).toEqual(['infeasible']);
    expect(explainCandidates(decide(spec(), []))).toEqual([]);
  });

  test('a tail without bound is null, since JSON has no infinity', () => {
    const judged: JudgedOption = {
      option: slow,
      spentMs: 0,
      predictedMs: 900,
      tailMs: Number.POSITIVE_INFINITY,
      onTimeProbability: 0,
      reasons: [],
    };
    const [candidate] = explainCandidates({
      candidates: [judged],
      choice: { kind: 'best-effort', chosen: judged },
    });
    expect(candidate?.tailMs).toBeNull();
    expect(v.is(candidateSchema, JSON.parse(JSON.stringify(candidate)))).toBe(true);
  });
});
