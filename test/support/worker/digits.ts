import { readFile } from 'node:fs/promises';
import { float32Tensor, goldenFileSchema, type Tensor } from '@nearfar/protocol';
import * as v from 'valibot';
import { modelVariant, type TestVariant } from './model-variant.ts';

const folderOf = (task: 'digits' | 'fashion') => new URL(`../../../models/${task}/`, import.meta.url);

/** Reads one of the sample models (tiny, small or large; as tfjs tiny or small) with its golden file. */
export function sampleVariant(
  task: 'digits' | 'fashion',
  model: string,
  format: 'onnx' | 'tfjs' = 'onnx',
): Promise<TestVariant> {
  const isOnnx = format === 'onnx';
  return modelVariant({
    folder: isOnnx ? folderOf(task) : new URL(`${model}-tfjs/`, folderOf(task)),
    paths: isOnnx ? [`${model}.onnx`] : ['model.json', 'weights.bin'],
    golden: isOnnx ? 'golden.json' : '../golden.json',
    task,
    model,
    format,
    inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 1, 28, 28] }],
    outputs: [{ name: 'logits', datatype: 'FP32', shape: [-1, 10] }],
  });
}

/** Reads one of the models of `digits`. */
export function digitsVariant(model: string): Promise<TestVariant> {
  return sampleVariant('digits', model);
}

/** The pictures of the golden file, each as an input of one. */
export async function digitsInputs(): Promise<Tensor[]> {
  const golden = v.parse(
    goldenFileSchema,
    JSON.parse(await readFile(new URL('golden.json', folderOf('digits')), 'utf8')),
  );
  const image = golden.inputs.image;
  if (image === undefined) throw new Error('Expected golden.json to have an input "image"');
  const values = new Float32Array(Uint8Array.from(Buffer.from(image.base64, 'base64')).buffer);
  const size = 28 * 28;
  return Array.from({ length: values.length / size }, (_, index) =>
    float32Tensor('image', [1, 1, 28, 28], values.slice(index * size, (index + 1) * size)),
  );
}
