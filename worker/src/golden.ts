import {
  type Artifact,
  type GoldenFile,
  goldenFileSchema,
  MeshError,
  parseOrThrow,
  type Tensor,
  type VariantSpec,
} from '@nearfar/protocol';
import type { ThreadTensor } from './engine-messages.ts';

type GoldenTensor = GoldenFile['inputs'][string];

/** Known inputs of a variant and what they must give. */
export interface GoldenCase {
  readonly inputs: readonly ThreadTensor[];
  readonly outputs: readonly Tensor[];
}

/** Reads the golden file of a variant's model. */
export function parseGolden(bytes: Uint8Array, spec: VariantSpec, artifact: Artifact): GoldenCase {
  const what = `golden file "${artifact.path}"`;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new MeshError('MESH_BAD_MANIFEST', `Expected JSON in ${what}`, { cause });
  }
  const golden = parseOrThrow(goldenFileSchema, json, 'MESH_BAD_MANIFEST', what);
  const outputs = golden.outputs[spec.model];
  if (outputs === undefined) {
    throw new MeshError('MESH_BAD_MANIFEST', `The ${what} has no outputs of model "${spec.model}"`);
  }
  return { inputs: tensorsOf(golden.inputs), outputs: tensorsOf(outputs) };
}

/**
 * Compares outputs with the known ones.
 *
 * @throws MeshError `MESH_VARIANT_FAILED` naming the output and the largest difference.
 */
export function checkGolden(golden: GoldenCase, outputs: readonly Tensor[], tolerance: number): void {
  for (const expected of golden.outputs) {
    const found = outputs.find((output) => output.name === expected.name);
    if (found === undefined || found.data.byteLength !== expected.data.byteLength) {
      throw new MeshError(
        'MESH_VARIANT_FAILED',
        `Self-test: expected output "${expected.name}" of shape [${expected.shape.join(', ')}], got ${found === undefined ? 'none' : `[${found.shape.join(', ')}]`}`,
      );
    }
    const difference = largestDifference(float32(expected), float32(found));
    // Written so that NaN, which compares false with everything, fails.
    if (!(difference <= tolerance)) {
      throw new MeshError(
        'MESH_VARIANT_FAILED',
        `Self-test: output "${expected.name}" differs by ${difference.toPrecision(3)} from the known one, more than ${tolerance}`,
      );
    }
  }
}

function largestDifference(expected: Float32Array, found: Float32Array): number {
  let largest = 0;
  for (const [index, value] of expected.entries()) {
    largest = Math.max(largest, Math.abs(value - (found[index] ?? Number.NaN)));
  }
  return largest;
}

function tensorsOf(tensors: Readonly<Record<string, GoldenTensor>>): ThreadTensor[] {
  return Object.entries(tensors).map(([name, { datatype, shape, base64 }]) => ({
    name,
    datatype,
    shape,
    // `Uint8Array.from` gives memory of its own: small Buffers share a pool, which must not be transferred.
    data: Uint8Array.from(Buffer.from(base64, 'base64')),
  }));
}

function float32({ data }: Tensor): Float32Array {
  return new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4);
}
