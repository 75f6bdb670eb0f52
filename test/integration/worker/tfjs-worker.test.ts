import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import {
  float32Tensor,
  float32Values,
  type Tensor,
  type TensorSignature,
  type VariantSpec,
} from '@nearfar/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import { connectedCpuWorker, loaded } from '../../support/worker/connected-worker.ts';
import { digitsInputs, sampleVariant } from '../../support/worker/digits.ts';
import { modelVariant, sourceOf, type TestVariant } from '../../support/worker/model-variant.ts';
import type { RecordingLink } from '../../support/worker/recording-link.ts';
import { graphVariant } from '../../support/worker/tfjs-graph.ts';

const SHARED_MODELS = new URL('../../../../shared/models/', import.meta.url);
const LAYERS = new URL('tfjs-mobilenet-v1-0.25/', SHARED_MODELS);
const isHere = existsSync(LAYERS);

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function workerFor(variants: TestVariant | readonly TestVariant[], artifacts = sourceOf(variants)) {
  const { worker, link } = await connectedCpuWorker(variants, { artifacts });
  closers.push(() => worker.close());
  return link;
}

/** Why a variant did not become ready. */
async function failureOf(variant: TestVariant, artifacts = sourceOf(variant)): Promise<string | undefined> {
  const { reason } = await loaded(await workerFor(variant, artifacts), variant);
  return reason;
}

/** What a variant answers. */
async function outputsOf(
  link: RecordingLink,
  { task, variant }: VariantSpec,
  inputs: readonly Tensor[],
): Promise<readonly Tensor[]> {
  const requestId = crypto.randomUUID();
  link.execute({ requestId, task, variant }, inputs);
  const { message, tensors } = await link.until(() => link.answer(requestId));
  if (message.type !== 'execute-result') throw new Error(`Expected a result, got ${JSON.stringify(message)}`);
  return tensors;
}

const valuesOf = (tensors: readonly Tensor[]) => tensors.flatMap((tensor) => [...float32Values(tensor)]);

/** Largest difference of two lists of numbers. */
function differenceOf(some: readonly number[], others: readonly number[]): number {
  expect(some).toHaveLength(others.length);
  return Math.max(...some.map((value, index) => Math.abs(value - (others[index] ?? Number.NaN))));
}

/** The variant under another signature. */
function withSignature(
  { spec, files }: TestVariant,
  signature: { readonly [Side in 'inputs' | 'outputs']?: readonly TensorSignature[] },
): TestVariant {
  const { inputs = spec.inputs, outputs = spec.outputs } = signature;
  const copy = (tensors: readonly TensorSignature[]) =>
    tensors.map(({ shape, ...tensor }) => ({ ...tensor, shape: [...shape] }));
  return { spec: { ...spec, inputs: copy(inputs), outputs: copy(outputs) }, files };
}

/** MobileNet 0.25 as a layers model, whose tensors have other names than these. */
async function layersVariant(overrides: Partial<Pick<VariantSpec, 'inputs' | 'outputs'>> = {}) {
  const shards = (await readdir(LAYERS)).filter((name) => name.startsWith('group'));
  return modelVariant({
    folder: LAYERS,
    paths: ['model.json', ...shards],
    task: 'imagenet',
    model: 'mobilenet',
    format: 'tfjs',
    inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 224, 224, 3] }],
    outputs: [{ name: 'probs', datatype: 'FP32', shape: [-1, 1_000] }],
    ...overrides,
  });
}

describe('a tfjs graph model in a worker', () => {
  test('passes the self-test of its ONNX form and answers the same', async () => {
    const variants = [await sampleVariant('digits', 'tiny'), await sampleVariant('digits', 'tiny', 'tfjs')];
    const link = await workerFor(variants);
    const [input] = await digitsInputs();
    const answers: number[][] = [];
    for (const variant of variants) {
      expect(await loaded(link, variant)).toMatchObject({ state: 'ready' });
      answers.push(valuesOf(await outputsOf(link, variant.spec, input === undefined ? [] : [input])));
    }
    expect(differenceOf(answers[0] ?? [], answers[1] ?? [])).toBeLessThan(1e-4);
  });

  test('is measured at every batch size', async () => {
    const tiny = await sampleVariant('digits', 'tiny', 'tfjs');
    const link = await workerFor(tiny);
    await loaded(link, tiny);
    const batches = link.of('profile-report').flatMap(({ reports }) => reports.map(({ batch }) => batch));
    expect(new Set(batches)).toEqual(new Set([1, 2, 4, 8, 16]));
  });

  test('takes whole numbers and truth values, and gives them back', async () => {
    const variant = graphVariant({
      inputs: [
        { name: 'count', datatype: 'INT32', shape: [-1] },
        { name: 'limit', datatype: 'INT32', shape: [-1] },
      ],
      outputs: [
        { name: 'sum', datatype: 'INT32', shape: [-1] },
        { name: 'isAbove', datatype: 'BOOL', shape: [-1] },
      ],
      nodes: [
        { name: 'sum', op: 'Add', input: ['count', 'limit'] },
        { name: 'isAbove', op: 'Greater', input: ['count', 'limit'] },
      ],
    });
    const link = await workerFor(variant);
    expect(await loaded(link, variant)).toMatchObject({ state: 'ready' });
    const whole = (name: string, ...values: number[]): Tensor => ({
      name,
      datatype: 'INT32',
      shape: [values.length],
      data: new Uint8Array(Int32Array.from(values).buffer),
    });
    const [sum, isAbove] = await outputsOf(link, variant.spec, [whole('count', 3, -2), whole('limit', 1, 5)]);
    expect(sum).toMatchObject({ name: 'sum', datatype: 'INT32', shape: [2] });
    expect([...new Int32Array(sum?.data.slice().buffer ?? new ArrayBuffer())]).toEqual([4, 3]);
    expect(isAbove).toMatchObject({ name: 'isAbove', datatype: 'BOOL', data: Uint8Array.of(1, 0) });
  });

  test('runs without WebAssembly when that lacks one of its kernels', async () => {
    // Einsum is among the kernels that tfjs 4.22 has for the CPU but not for WebAssembly.
    const variant = graphVariant({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, -1] }],
      nodes: [
        { name: 'y', op: 'Einsum', input: ['x', 'x'], text: { equation: 'ij,kj->ik' }, count: { N: 2 } },
      ],
      isBatchable: false,
    });
    const link = await workerFor(variant);
    expect(await loaded(link, variant)).toMatchObject({ state: 'ready' });
    const x = float32Tensor('x', [2, 2], Float32Array.of(1, 2, 3, 4));
    expect(valuesOf(await outputsOf(link, variant.spec, [x]))).toEqual([5, 11, 11, 25]);
  });

  test.each([
    ['weights that are not there', 'The weights "weights.bin" of "model.json" are missing', 1],
    ['no files', 'Expected a model.json, the variant has no files', 0],
  ])('is refused with %s', async (_what, reason, kept) => {
    const { spec, files } = await sampleVariant('digits', 'tiny', 'tfjs');
    const cut = { spec: { ...spec, artifacts: spec.artifacts.slice(0, kept) }, files };
    expect(await failureOf(cut)).toBe(`MESH_VARIANT_FAILED: ${reason}`);
  });

  test('is refused when one of its files has another hash', async () => {
    const tiny = await sampleVariant('digits', 'tiny', 'tfjs');
    const artifacts = sourceOf(tiny, { 'weights.bin': new Uint8Array(10) });
    expect(await failureOf(tiny, artifacts)).toMatch(
      /^MESH_ARTIFACT_CORRUPT: Expected "weights\.bin" to have SHA-256/,
    );
  });

  test('is refused when it has another number of inputs than its signature', async () => {
    const tiny = await sampleVariant('digits', 'tiny', 'tfjs');
    const extra: TensorSignature = { name: 'scale', datatype: 'FP32', shape: [] };
    expect(await failureOf(withSignature(tiny, { inputs: [...tiny.spec.inputs, extra] }))).toBe(
      'MESH_VARIANT_FAILED: Expected the tfjs model to have 2 inputs (image, scale), found 1 (image)',
    );
  });

  test('is refused with a datatype that tfjs lacks', async () => {
    const tiny = await sampleVariant('digits', 'tiny', 'tfjs');
    const outputs: TensorSignature[] = [{ name: 'logits', datatype: 'INT64', shape: [-1, 10] }];
    expect(await failureOf(withSignature(tiny, { outputs }))).toBe(
      'MESH_VARIANT_FAILED: Expected "logits" to be one of FP32, INT32, BOOL, got INT64, which tfjs does not have',
    );
  });

  test('is refused when its outputs have another datatype than its signature', async () => {
    const tiny = await sampleVariant('digits', 'tiny', 'tfjs');
    const outputs: TensorSignature[] = [{ name: 'logits', datatype: 'INT32', shape: [-1, 10] }];
    expect(await failureOf(withSignature(tiny, { outputs }))).toBe(
      'MESH_VARIANT_FAILED: Expected output "logits" to be INT32, got FP32',
    );
  });
});

describe.skipIf(!isHere)('a tfjs layers model of 55 files (skipped where ../shared/models is absent)', () => {
  test('agrees with its ONNX form, by position where its names differ', async () => {
    const layers = await layersVariant();
    const { task, model, inputs, outputs } = layers.spec;
    const folder = new URL('onnx-mobilenet-v1-0.25/', SHARED_MODELS);
    const onnx = await modelVariant({
      folder,
      paths: ['mobilenet_v1_0.25.onnx'],
      task,
      model,
      inputs,
      outputs,
    });
    const link = await workerFor([layers, onnx]);
    const values = Float32Array.from({ length: 2 * 224 * 224 * 3 }, (_, index) => Math.sin(index * 0.37));
    const image = float32Tensor('image', [2, 224, 224, 3], values);
    const answers: number[][] = [];
    for (const variant of [layers, onnx]) {
      expect(await loaded(link, variant)).toMatchObject({ state: 'ready' });
      const tensors = await outputsOf(link, variant.spec, [image]);
      expect(tensors).toMatchObject([{ name: 'probs', shape: [2, 1_000] }]);
      answers.push(valuesOf(tensors));
    }
    expect(differenceOf(answers[0] ?? [], answers[1] ?? [])).toBeLessThan(1e-4);
  });

  test('is refused with both lists when it has another number of outputs', async () => {
    const outputs = ['probs', 'features'].map((name) => ({
      name,
      datatype: 'FP32' as const,
      shape: [-1, 1_000],
    }));
    expect(await failureOf(await layersVariant({ outputs }))).toBe(
      'MESH_VARIANT_FAILED: Expected the tfjs model to have 2 outputs (probs, features), found 1 (reshape_2)',
    );
  });
});
