import {
  checkTensor,
  float32Values,
  type GoldenFile,
  goldenFileSchema,
  MeshError,
  parseOrThrow,
  type Tensor,
  type VariantSpec,
} from '@nearfar/protocol';

/** Known inputs of a variant and what they must give. Each tensor has memory of its own. */
export interface GoldenCase {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

/**
 * Reads the golden file of a variant's model.
 *
 * @throws MeshError `MESH_BAD_MANIFEST` when it is no golden file or does not know the model.
 */
export function parseGolden(bytes: Uint8Array, spec: Pick<VariantSpec, 'variant' | 'model'>): GoldenCase {
  const what = `golden file of "${spec.variant}"`;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new MeshError('MESH_BAD_MANIFEST', `Expected JSON in the ${what}`, { cause });
  }
  const golden = parseOrThrow(goldenFileSchema, json, 'MESH_BAD_MANIFEST', what);
  const outputs = golden.outputs[spec.model];
  if (outputs === undefined) {
    throw new MeshError('MESH_BAD_MANIFEST', `The ${what} has no outputs of model "${spec.model}"`);
  }
  return { inputs: tensorsOf(golden.inputs, what), outputs: tensorsOf(outputs, what) };
}

/**
 * Compares outputs with the known ones. Some GPUs compute wrong numbers without any error (onnxruntime#29807), so
 * every variant passes this on each device before it serves there.
 *
 * @throws MeshError `MESH_VARIANT_FAILED` naming the output and the largest difference.
 */
export function checkGolden(golden: GoldenCase, outputs: readonly Tensor[], tolerance: number): void {
  for (const expected of golden.outputs) {
    const found = outputs.find((output) => output.name === expected.name);
    if (found?.data.byteLength !== expected.data.byteLength) {
      throw new MeshError(
        'MESH_VARIANT_FAILED',
        `Self-test: expected output "${expected.name}" of shape [${expected.shape.join(', ')}], got ${found === undefined ? 'none' : `[${found.shape.join(', ')}]`}`,
      );
    }
    const difference = largestDifference(float32Values(expected), float32Values(found));
    // Written so that NaN, which compares false with everything, fails.
    if (!(difference <= tolerance)) {
      throw new MeshError(
        'MESH_VARIANT_FAILED',
        `Self-test: output "${expected.name}" differs by ${difference.toPrecision(3)} from the known one, more than ${tolerance}`,
      );
    }
  }
}

/** NaN as soon as one pair differs by NaN. */
function largestDifference(expected: Float32Array, found: Float32Array): number {
  let largest = 0;
  for (const [index, value] of expected.entries()) {
    const difference = Math.abs(value - (found[index] ?? Number.NaN));
    if (Number.isNaN(difference)) return difference;
    largest = Math.max(largest, difference);
  }
  return largest;
}

function tensorsOf(tensors: Readonly<Record<string, GoldenFile['inputs'][string]>>, what: string): Tensor[] {
  return Object.entries(tensors).map(([name, { datatype, shape, base64 }]) => {
    try {
      const data = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const tensor: Tensor = { name, datatype, shape, data };
      checkTensor(tensor);
      return tensor;
    } catch (cause) {
      throw new MeshError(
        'MESH_BAD_MANIFEST',
        `Expected "${name}" in the ${what} to hold base64 of shape [${shape.join(', ')}]`,
        { cause },
      );
    }
  });
}
