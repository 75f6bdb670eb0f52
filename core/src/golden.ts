import {
  checkTensor,
  elementCount,
  float32Tensor,
  float32Values,
  type GoldenTensor,
  goldenFileSchema,
  MeshError,
  parseOrThrow,
  type Tensor,
  type VariantSpec,
} from '@nearfar/protocol';
import { isFloat, tensorValues } from './tensor-values.ts';

/** Known inputs of a variant and what they must give. Each tensor has memory of its own. */
export interface GoldenCase {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

/** Highest level of a grid: its levels are one byte. */
const HIGHEST_LEVEL = 255;

/** Characters that one call of `String.fromCharCode` is given; more could overflow the stack. */
const CHARACTERS_AT_ONCE = 8_192;

/**
 * Reads the golden file of a variant: the outputs under the variant's own name or, in files that serve all variants of a
 * model, under the model's.
 *
 * @throws MeshError `MESH_BAD_MANIFEST` when it is no golden file or knows neither.
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
  const name = [spec.variant, spec.model].find((candidate) => Object.hasOwn(golden.outputs, candidate));
  const outputs = name === undefined ? undefined : golden.outputs[name];
  if (outputs === undefined) {
    throw new MeshError(
      'MESH_BAD_MANIFEST',
      `The ${what} has no outputs of that variant or of model "${spec.model}"`,
    );
  }
  return { inputs: tensorsOf(golden.inputs, what), outputs: tensorsOf(outputs, what) };
}

/**
 * Compares outputs with the known ones, by `outputDifference`. Some GPUs compute wrong numbers without any error
 * (onnxruntime#29807), so every variant passes this on each device before it serves there.
 *
 * @throws MeshError `MESH_VARIANT_FAILED` naming the output and the largest difference.
 */
export function checkGolden(golden: GoldenCase, outputs: readonly Tensor[], tolerance: number): void {
  for (const expected of golden.outputs) {
    const found = outputs.find((output) => output.name === expected.name);
    if (
      found === undefined ||
      found.datatype !== expected.datatype ||
      elementCount(found.shape) !== elementCount(expected.shape)
    ) {
      throw new MeshError(
        'MESH_VARIANT_FAILED',
        `Self-test: expected output "${expected.name}" as ${signatureOf(expected)}, got ${found === undefined ? 'none' : signatureOf(found)}`,
      );
    }
    const difference = outputDifference(expected, found);
    // Written so that NaN, which compares false with everything, fails.
    if (!(difference <= tolerance)) {
      const unit = isFloat(expected.datatype) ? unitOf(expected) : 1;
      const shown = `${(difference * unit).toPrecision(3)} from the known one, more than ${Number((tolerance * unit).toPrecision(3))}`;
      throw new MeshError('MESH_VARIANT_FAILED', `Self-test: output "${expected.name}" differs by ${shown}`);
    }
  }
}

/**
 * How far an output is from the known one, in the unit of a variant's tolerance. For FP16, BF16, FP32 and FP64 it is the
 * largest absolute difference divided by max(1, largest absolute expected value): absolute for outputs up to 1, relative
 * above, so that one rule serves probabilities, boxes and logits of ±30, whose rounding grows with their size. It is NaN
 * as soon as one element of either is not finite. Integers, BOOL and BYTES have to be equal: 0 or infinity.
 *
 * Both have the same datatype and number of elements.
 */
export function outputDifference(expected: Tensor, found: Tensor): number {
  if (!isFloat(expected.datatype)) {
    return expected.data.every((byte, index) => byte === found.data[index]) &&
      expected.data.byteLength === found.data.byteLength
      ? 0
      : Number.POSITIVE_INFINITY;
  }
  const [known, given] = [tensorValues(expected), tensorValues(found)];
  let largest = 0;
  for (let index = 0; index < known.length; index += 1) {
    const difference = Math.abs(Number(known[index]) - Number(given[index]));
    // Also for two equal infinities, and for a known infinity, of which no finite share is a tolerance.
    if (!Number.isFinite(difference)) return Number.NaN;
    if (difference > largest) largest = difference;
  }
  return largest / unitOf(expected);
}

/** A tensor as a golden file holds it. */
export function goldenTensor({ datatype, shape, data }: Tensor): GoldenTensor {
  return { datatype, shape: [...shape], base64: toBase64(data) };
}

/**
 * Moves the values of an FP32 tensor to the nearest of 256 levels between its smallest and its largest value, so that a
 * golden file holds it at a quarter of the size. `tensor` has the moved values, and is what the known outputs must be
 * computed from; `golden` gives exactly it when it is read.
 *
 * @throws RangeError when a value is not finite.
 */
export function goldenTensorOnGrid(original: Tensor): { tensor: Tensor; golden: GoldenTensor } {
  const values = float32Values(original);
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) {
      throw new RangeError(`Expected finite values in tensor "${original.name}", got ${value}`);
    }
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const offset = values.length === 0 ? 0 : low;
  const scale = values.length === 0 ? 0 : (high - low) / HIGHEST_LEVEL;
  const levels = Uint8Array.from(values, (value) => (scale === 0 ? 0 : Math.round((value - offset) / scale)));
  const { name, shape } = original;
  return {
    tensor: float32Tensor(name, shape, valuesOf(levels, { scale, offset })),
    golden: { datatype: 'FP32', shape: [...shape], base64: toBase64(levels), grid: { scale, offset } },
  };
}

/** Largest absolute value of a tensor of floats, but at least 1. */
function unitOf(expected: Tensor): number {
  let largest = 1;
  for (const value of tensorValues(expected)) largest = Math.max(largest, Math.abs(Number(value)));
  return largest;
}

function signatureOf({ datatype, shape }: Tensor): string {
  return `${datatype} of shape [${shape.join(', ')}]`;
}

function valuesOf(levels: Uint8Array, { scale, offset }: NonNullable<GoldenTensor['grid']>): Float32Array {
  const values = new Float32Array(levels.length);
  for (let index = 0; index < levels.length; index++) values[index] = offset + scale * (levels[index] ?? 0);
  return values;
}

function tensorsOf(tensors: Readonly<Record<string, GoldenTensor>>, what: string): Tensor[] {
  return Object.entries(tensors).map(([name, entry]) => {
    try {
      return tensorOf(name, entry);
    } catch (cause) {
      const of = entry.grid === undefined ? '' : ', one byte an element, FP32';
      throw new MeshError(
        'MESH_BAD_MANIFEST',
        `Expected "${name}" in the ${what} to hold base64 of shape [${entry.shape.join(', ')}]${of}`,
        { cause },
      );
    }
  });
}

function tensorOf(name: string, { datatype, shape, base64, grid }: GoldenTensor): Tensor {
  const bytes = fromBase64(base64);
  if (grid === undefined) {
    const tensor: Tensor = { name, datatype, shape, data: bytes };
    checkTensor(tensor);
    return tensor;
  }
  checkTensor({ name, datatype: 'UINT8', shape, data: bytes });
  if (datatype !== 'FP32') throw new RangeError(`Expected FP32 on the grid, got ${datatype}`);
  return float32Tensor(name, shape, valuesOf(bytes, grid));
}

/** A loop, because `Uint8Array.from` with a function takes 30 times as long: 0.3 s for 5 MB, on the thread that serves. */
function fromBase64(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}

function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let offset = 0; offset < bytes.byteLength; offset += CHARACTERS_AT_ONCE) {
    text += String.fromCharCode(...bytes.subarray(offset, offset + CHARACTERS_AT_ONCE));
  }
  return btoa(text);
}
