import type { VariantSpec } from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Capability } from '../../../client-sdk/src/capability.ts';
import { type ChoiceFacts, chooseVariants, modelBytes } from '../../../client-sdk/src/choose-variants.ts';
import { variantSpec } from './builders.ts';

interface VariantOptions {
  readonly model?: string;
  readonly format?: VariantSpec['format'];
  readonly precision?: VariantSpec['precision'];
  readonly sizeBytes?: number;
  readonly accuracy?: number;
}

function variant({
  model = 'tiny',
  format = 'onnx',
  precision = 'fp32',
  sizeBytes = 100,
  accuracy = 0.9,
}: VariantOptions = {}): VariantSpec {
  return variantSpec({
    model,
    format,
    precision,
    variant: `${model}-${precision}-${format}`,
    accuracy: { value: accuracy, source: 'declared', sampleSize: 0 },
    artifacts: format === 'cascade' ? [] : [{ path: 'entry', sha256: 'a'.repeat(64), sizeBytes }],
  });
}

const gpu = (hasF16: boolean): Capability => ({
  webgpu: { vendor: 'test', architecture: 'gpu', isFallback: false, hasF16 },
  description: 'test gpu',
  architecture: 'x64',
  cores: 4,
});

const facts = (over: Partial<ChoiceFacts> = {}): ChoiceFacts => ({
  engine: 'ort-wasm',
  capability: gpu(true),
  maxVariantBytes: 1_000,
  minAccuracy: 0,
  knownMs: () => undefined,
  isReady: () => false,
  ...over,
});

/** The first variant of each model, in the order in which they are prepared. */
const firstsOf = (variants: readonly VariantSpec[], over: Partial<ChoiceFacts> = {}) =>
  chooseVariants(variants, facts(over)).models.map(([first]) => first?.variant);

describe('the variant of a model that a page prepares', () => {
  test('is the one with the fewest bytes', () => {
    const variants = [
      variant({ sizeBytes: 400 }),
      variant({ precision: 'int8', sizeBytes: 100 }),
      variant({ precision: 'fp16', sizeBytes: 200 }),
    ];
    expect(
      chooseVariants(variants, facts()).models.map((own) => own.map(({ precision }) => precision)),
    ).toEqual([['int8', 'fp16', 'fp32']]);
  });

  test('is, of equally large ones, the more accurate', () => {
    const variants = [variant({ accuracy: 0.8 }), variant({ precision: 'int8', accuracy: 0.9 })];
    expect(firstsOf(variants)).toEqual(['tiny-int8-onnx']);
  });

  test('is accurate enough for the requests of the task, where one is', () => {
    const variants = [
      variant({ sizeBytes: 400, accuracy: 0.9 }),
      variant({ precision: 'int8', accuracy: 0.89 }),
    ];
    expect(firstsOf(variants, { minAccuracy: 0.9 })).toEqual(['tiny-fp32-onnx']);
    expect(firstsOf(variants, { minAccuracy: 0.95 })).toEqual(['tiny-int8-onnx']);
  });

  test('is the one that is ready already', () => {
    const variants = [variant({ sizeBytes: 400 }), variant({ precision: 'int8' })];
    expect(firstsOf(variants, { isReady: ({ precision }) => precision === 'fp32' })).toEqual([
      'tiny-fp32-onnx',
    ]);
  });

  test('has the format of the engine, is no cascade and small enough', () => {
    const variants = [
      variant({ format: 'tfjs' }),
      variant({ model: 'huge', sizeBytes: 1_001 }),
      variant({ model: 'both', precision: 'mixed', format: 'cascade' }),
      variant({ model: 'fits', sizeBytes: 1_000 }),
    ];
    expect(firstsOf(variants)).toEqual(['fits-fp32-onnx']);
    expect(firstsOf(variants, { engine: 'tfjs-webgpu' })).toEqual(['tiny-fp32-tfjs']);
    expect(chooseVariants(variants, facts()).obstacles).toEqual([]);
  });
});

describe('what a device cannot run', () => {
  const variants = [variant({ precision: 'fp16' }), variant({ precision: 'int8-dynamic', model: 'small' })];
  const obstacles = (over: Partial<ChoiceFacts>) =>
    chooseVariants(variants, facts(over)).obstacles.map(({ spec: { precision }, reason }) => [
      precision,
      reason,
    ]);

  test('is fp16 on WebGPU without shader-f16, and integer operators on any WebGPU', () => {
    expect(obstacles({ engine: 'ort-webgpu', capability: gpu(false) })).toEqual([
      ['fp16', expect.stringContaining('shader-f16')],
      ['int8-dynamic', expect.stringContaining('not on WebGPU')],
    ]);
    expect(obstacles({ engine: 'ort-webgpu', capability: gpu(true) })).toMatchObject([['int8-dynamic', {}]]);
  });

  test('is nothing on wasm, which has all operators and casts', () => {
    expect(obstacles({ capability: gpu(false) })).toEqual([]);
  });

  test('is nothing of what tfjs stores, since it computes in fp32 alone', () => {
    const stored = [variant({ precision: 'fp16', format: 'tfjs' })];
    expect(firstsOf(stored, { engine: 'tfjs-webgpu', capability: gpu(false) })).toEqual(['tiny-fp16-tfjs']);
  });
});

describe('the order of the models', () => {
  test('is by bytes, and those that another one dominates come last', () => {
    const variants = [
      variant({ model: 'large', sizeBytes: 900, accuracy: 0.95 }),
      variant({ model: 'poor', sizeBytes: 300, accuracy: 0.85 }),
      variant({ model: 'tiny', sizeBytes: 100, accuracy: 0.88 }),
    ];
    expect(firstsOf(variants)).toEqual(['tiny-fp32-onnx', 'large-fp32-onnx', 'poor-fp32-onnx']);
  });

  test('does not count as dominated what its class measured to be faster', () => {
    const variants = [
      variant({ model: 'quick', sizeBytes: 300, accuracy: 0.85 }),
      variant({ model: 'tiny', sizeBytes: 100, accuracy: 0.88 }),
      variant({ model: 'large', sizeBytes: 900, accuracy: 0.95 }),
    ];
    const knownMs = ({ model }: VariantSpec) => (model === 'quick' ? 1 : 5);
    expect(firstsOf(variants, { knownMs })).toEqual(['tiny-fp32-onnx', 'quick-fp32-onnx', 'large-fp32-onnx']);
  });
});

test('whatever there is, each model is prepared once, by a variant that fits, in an order that facts alone decide', () => {
  const any = fc
    .record({
      model: fc.constantFrom('a', 'b', 'c'),
      format: fc.constantFrom('onnx' as const, 'tfjs' as const),
      precision: fc.constantFrom('fp32' as const, 'fp16' as const, 'int8' as const, 'int8-dynamic' as const),
      sizeBytes: fc.integer({ min: 1, max: 2_000 }),
      accuracy: fc.constantFrom(0.8, 0.9),
    })
    .map(variant);
  const list = fc.uniqueArray(any, { maxLength: 12, selector: ({ variant: name }) => name });
  const engine = fc.constantFrom('tfjs-webgpu' as const, 'ort-webgpu' as const, 'ort-wasm' as const);
  fc.assert(
    fc.property(list, engine, fc.boolean(), (variants, name, hasF16) => {
      const over = { engine: name, capability: gpu(hasF16) };
      const { models, obstacles } = chooseVariants(variants, facts(over));
      const firsts = models.flatMap(([first]) => (first === undefined ? [] : [first]));
      expect(firsts).toHaveLength(models.length);
      expect(new Set(firsts.map(({ model }) => model)).size).toBe(models.length);
      for (const spec of models.flat()) expect(modelBytes(spec)).toBeLessThanOrEqual(1_000);
      const used = [...models.flat(), ...obstacles.map(({ spec }) => spec)];
      expect(new Set(used).size).toBe(used.length);
      expect(firstsOf(variants.toReversed(), over)).toEqual(firsts.map(({ variant: id }) => id));
    }),
  );
});

describe('a page whose requests demand more than a small model reaches', () => {
  const cascade: VariantSpec = {
    ...variant({ model: 'large', format: 'cascade', precision: 'mixed', accuracy: 0.95 }),
    variant: 'tiny-fp32-onnx..large-fp32-onnx.t90',
    cascade: {
      small: 'tiny-fp32-onnx',
      large: 'large-fp32-onnx',
      threshold: 0.9,
      escalation: { value: 0.2, sampleSize: 1_000, interval: { low: 0.18, high: 0.22 } },
    },
  };
  const variants = [
    variant({ precision: 'int8', sizeBytes: 100 }),
    variant({ precision: 'fp16', sizeBytes: 200 }),
    variant({ sizeBytes: 400 }),
    variant({ model: 'large', sizeBytes: 5_000, accuracy: 0.96 }),
    cascade,
  ];

  test('prepares the smallest form that is a stage of a cascade which reaches it', () => {
    expect(firstsOf(variants)).toEqual(['tiny-int8-onnx']);
    expect(firstsOf(variants, { minAccuracy: 0.95 })).toEqual(['tiny-fp16-onnx']);
    expect(firstsOf(variants, { minAccuracy: 0.96 })).toEqual(['tiny-int8-onnx']);
  });

  test('prepares what reaches it by itself before a stage of a cascade', () => {
    const better = variant({ precision: 'int8-dynamic', sizeBytes: 300, accuracy: 0.95 });
    expect(firstsOf([...variants, better], { minAccuracy: 0.95 })).toEqual(['tiny-int8-dynamic-onnx']);
  });

  test('keeps what is ready unless another form serves requests that it does not', () => {
    const isReady = ({ precision }: VariantSpec) => precision === 'int8';
    expect(firstsOf(variants, { isReady })).toEqual(['tiny-int8-onnx']);
    expect(firstsOf(variants, { isReady, minAccuracy: 0.95 })).toEqual(['tiny-fp16-onnx']);
    const isFullReady = ({ variant: name }: VariantSpec) => name === 'tiny-fp32-onnx';
    expect(firstsOf(variants, { isReady: isFullReady, minAccuracy: 0.95 })).toEqual(['tiny-fp32-onnx']);
  });
});
