import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  type Artifact,
  float32Tensor,
  goldenFileSchema,
  type Tensor,
  type VariantSpec,
} from '@nearfar/protocol';
import type { ArtifactSource } from '@nearfar/worker';
import * as v from 'valibot';

const FOLDER = new URL('../../../models/digits/', import.meta.url);

/** A digits variant whose files are those of the repository, and where to get them. */
export interface DigitsVariant {
  readonly spec: VariantSpec;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Reads one of the sample models (tiny, small or large) with its golden file. */
export async function digitsVariant(model: string): Promise<DigitsVariant> {
  const files = new Map<string, Uint8Array>();
  const artifactOf = async (path: string): Promise<Artifact> => {
    const bytes = await readFile(new URL(path, FOLDER));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    files.set(sha256, bytes);
    return { path, sha256, sizeBytes: bytes.byteLength };
  };
  const spec: VariantSpec = {
    task: 'digits',
    variant: `${model}-fp32-onnx`,
    revision: 1,
    model,
    precision: 'fp32',
    format: 'onnx',
    accuracy: { value: 0.9, source: 'declared', sampleSize: 0 },
    inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 1, 28, 28] }],
    outputs: [{ name: 'logits', datatype: 'FP32', shape: [-1, 10] }],
    artifacts: [await artifactOf(`${model}.onnx`)],
    golden: await artifactOf('golden.json'),
    tolerance: 1e-3,
    isBatchable: true,
  };
  return { spec, files };
}

/** Gives the files of a variant; those named in `replaced` (by path) with other bytes. */
export function sourceOf(
  { files }: DigitsVariant,
  replaced: Readonly<Record<string, Uint8Array>> = {},
): ArtifactSource {
  return {
    fetch: (artifact) => {
      const bytes = replaced[artifact.path] ?? files.get(artifact.sha256);
      return bytes === undefined ? Promise.reject(new Error(`no ${artifact.path}`)) : Promise.resolve(bytes);
    },
  };
}

/** The pictures of the golden file, each as an input of one. */
export async function digitsInputs(): Promise<Tensor[]> {
  const golden = v.parse(
    goldenFileSchema,
    JSON.parse(await readFile(new URL('golden.json', FOLDER), 'utf8')),
  );
  const image = golden.inputs.image;
  if (image === undefined) throw new Error('Expected golden.json to have an input "image"');
  const values = new Float32Array(Uint8Array.from(Buffer.from(image.base64, 'base64')).buffer);
  const size = 28 * 28;
  return Array.from({ length: values.length / size }, (_, index) =>
    float32Tensor('image', [1, 1, 28, 28], values.slice(index * size, (index + 1) * size)),
  );
}
