import {
  checkGolden,
  decide,
  explainCandidates,
  type GoldenCase,
  goldenTensor,
  goldenTensorOnGrid,
  type JudgedOption,
  outputDifference,
  parseGolden,
} from '@nearfar/core';
import {
  candidateSchema,
  DATATYPE_BYTES,
  type Datatype,
  float32Tensor,
  float32Values,
  goldenFileSchema,
  type Tensor,
} from '@nearfar/protocol';
import fc from 'fast-check';
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
        message: 'Self-test: output "y" differs by 0.250 from the known one, more than 0.2',
      }),
    );
  });

  test('the tolerance is absolute up to a size of 1 and a share of the largest value above', () => {
    const difference = (...values: [known: number[], found: number[]]) =>
      outputDifference(tensor('y', ...values[0]), tensor('y', ...values[1]));
    expect(difference([0.5, 0], [0.5, 0.25])).toBe(0.25);
    expect(difference([1, -0.5], [1, -0.75])).toBe(0.25);
    expect(difference([-30, 0.5], [-30, 3.5])).toBe(0.1);
    expect(difference([-30, 0.5], [-33, 0.5])).toBe(0.1);
    // The size is that of the known output: a wrong one cannot widen its own tolerance.
    expect(difference([0.5], [1000.5])).toBe(1000);
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

  test('infinities fail even where they are known: nothing can be said about them', () => {
    const infinite = tensor('y', Number.POSITIVE_INFINITY);
    for (const found of [infinite, tensor('y', 3)]) {
      expect(() => checkGolden(golden(infinite), [found], 1e6)).toThrow(/"y" differs by NaN/);
    }
  });

  test('a missing output fails, and so does one of another size or datatype', () => {
    const known = golden(tensor('y', 1, 2));
    expect(() => checkGolden(known, [tensor('z', 1, 2)], 1)).toThrow(
      'expected output "y" as FP32 of shape [1, 2], got none',
    );
    expect(() => checkGolden(known, [tensor('y', 1)], 1)).toThrow(/got FP32 of shape \[1, 1\]$/);
    const integers = { ...tensor('y', 1, 2), datatype: 'INT32' as const };
    expect(() => checkGolden(known, [integers], 1)).toThrow(/got INT32 of shape \[1, 2\]$/);
  });

  test.each<[Datatype, ArrayBufferView, ArrayBufferView]>([
    ['INT64', BigInt64Array.of(2n ** 53n), BigInt64Array.of(2n ** 53n + 1n)],
    ['UINT8', Uint8Array.of(7), Uint8Array.of(8)],
    ['BOOL', Uint8Array.of(1), Uint8Array.of(0)],
  ])('%s has to be equal, whatever the tolerance', (datatype, known, other) => {
    const of = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Tensor => ({
      name: 'y',
      datatype,
      shape: [1],
      data: new Uint8Array(buffer, byteOffset, byteLength),
    });
    expect(() => checkGolden(golden(of(known)), [of(known)], 1e-9)).not.toThrow();
    expect(() => checkGolden(golden(of(known)), [of(other)], 1e9)).toThrow(/differs by Infinity/);
  });

  test.each<[Datatype, number[], number]>([
    // 1.5 and 1.5 + 2⁻¹⁰; the smallest subnormal and 0.
    ['FP16', [0x3e00, 0x3e01], 2 ** -10 / 1.5],
    ['FP16', [0x0001, 0x0000], 2 ** -24],
    ['FP16', [0xbc00, 0x3c00], 2],
    ['FP16', [0x7c00, 0x3c00], Number.NaN],
    ['FP16', [0x7e00, 0x7e00], Number.NaN],
    // 1 and 1 + 2⁻⁷.
    ['BF16', [0x3f80, 0x3f81], 2 ** -7],
  ])('%s is decoded: %j', (datatype, [known, found], difference) => {
    const of = (bits: number): Tensor => ({
      name: 'y',
      datatype,
      shape: [1],
      data: new Uint8Array(Uint16Array.of(bits).buffer),
    });
    expect(outputDifference(of(known ?? 0), of(found ?? 0))).toBe(difference);
  });

  test('FP64 is compared in full precision', () => {
    const of = (value: number): Tensor => ({
      name: 'y',
      datatype: 'FP64',
      shape: [1],
      data: new Uint8Array(Float64Array.of(value).buffer),
    });
    expect(outputDifference(of(1), of(1 - 2 ** -40))).toBe(2 ** -40);
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

  test('gives the outputs of the variant where it has some, else those of its model', () => {
    const bytes = encode({
      inputs: {},
      outputs: { tiny: { y: entry([1, 1], 3) }, 'tiny-fp32-onnx': { y: entry([1, 1], 4) } },
    });
    const valueFor = (variant: string) => {
      const [output] = parseGolden(bytes, { variant, model: 'tiny' }).outputs;
      return output === undefined ? undefined : float32Values(output)[0];
    };
    expect(valueFor('tiny-fp32-onnx')).toBe(4);
    expect(valueFor('tiny-fp16-onnx')).toBe(3);
    expect(() => parseGolden(bytes, { variant: 'x', model: 'constructor' })).toThrow(
      'The golden file of "x" has no outputs of that variant or of model "constructor"',
    );
  });

  test('gives the values of a grid', () => {
    const onGrid = (base64: string, datatype = 'FP32') =>
      encode({
        inputs: { x: { datatype, shape: [1, 3], base64, grid: { scale: 0.5, offset: -1 } } },
        outputs: { tiny: {} },
      });
    const [input] = parseGolden(onGrid(Buffer.of(0, 2, 255).toString('base64')), tiny).inputs;
    expect(input).toEqual(tensor('x', -1, 0, 126.5));
    for (const wrong of [onGrid('AAA='), onGrid('AAAA', 'INT32')]) {
      expect(() => parseGolden(wrong, tiny)).toThrow(
        expect.objectContaining({
          code: 'MESH_BAD_MANIFEST',
          message: expect.stringMatching(/"x" in the golden file .* one byte an element, FP32$/),
        }),
      );
    }
  });

  /** Writes a golden file with one input and reads it again. */
  const reread = (golden: ReturnType<typeof goldenTensor>) => {
    const file = encode({ inputs: { x: golden }, outputs: { tiny: {} } });
    expect(v.is(goldenFileSchema, JSON.parse(new TextDecoder().decode(file)))).toBe(true);
    return parseGolden(file, tiny).inputs;
  };

  test('keeps a tensor of any datatype bit by bit', () => {
    const numeric = (Object.keys(DATATYPE_BYTES) as Datatype[]).filter((datatype) => datatype !== 'BYTES');
    fc.assert(
      fc.property(fc.constantFrom(...numeric), fc.uint8Array({ maxLength: 64 }), (datatype, bytes) => {
        const size = DATATYPE_BYTES[datatype];
        const count = Math.floor(bytes.length / size);
        const original: Tensor = { name: 'x', datatype, shape: [count], data: bytes.slice(0, count * size) };
        expect(reread(goldenTensor(original))).toEqual([original]);
      }),
    );
  });

  test('keeps a tensor on a grid bit by bit, each value within half a step of the original', () => {
    const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
    const near = fc.float({ min: -3, max: 3, noNaN: true });
    const values = fc.oneof(fc.array(finite, { maxLength: 400 }), fc.array(near, { maxLength: 400 }));
    fc.assert(
      fc.property(values, (entries) => {
        const original = tensor('x', ...entries);
        const { tensor: moved, golden } = goldenTensorOnGrid(original);
        expect(reread(golden)).toEqual([moved]);
        expect(golden.base64.length).toBe(4 * Math.ceil(entries.length / 3));
        const step = golden.grid?.scale ?? 0;
        const highest = Math.max(0, ...entries.map(Math.abs));
        for (const [index, value] of float32Values(moved).entries()) {
          const rounding = highest * 2 ** -23;
          expect(Math.abs(value - (entries[index] ?? 0))).toBeLessThanOrEqual(step / 2 + rounding);
        }
      }),
    );
  });

  test('a grid keeps the smallest and the largest value, and one that is constant', () => {
    expect(float32Values(goldenTensorOnGrid(tensor('x', -2, 0.7, 5)).tensor)).toMatchObject({ 0: -2, 2: 5 });
    expect(goldenTensorOnGrid(tensor('x', 0.1, 0.1)).tensor).toEqual(tensor('x', 0.1, 0.1));
  });

  test('values that are not finite have no grid', () => {
    expect(() => goldenTensorOnGrid(tensor('x', 1, Number.NaN))).toThrow(RangeError);
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
