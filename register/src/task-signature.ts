import { MeshError, type TensorSignature } from '@nearfar/protocol';
import { signatureOf } from './onnx/signature.ts';
import type { CheckedManifest } from './read-manifest.ts';
import type { SuppliedModel } from './read-models.ts';

/** What a variant takes and gives. */
export interface Signature {
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
}

/**
 * The signature of each supplied model. ONNX models say it themselves; a tfjs model has that of the task, which follows from
 * an ONNX model beside it, from pre- and postprocessing, or from the tfjs file.
 *
 * @throws MeshError `MESH_BAD_MANIFEST` when the models of the task do not take the same inputs, or not those that
 *   pre- and postprocessing speak of.
 */
export function signaturesOf(
  manifest: CheckedManifest,
  models: readonly SuppliedModel[],
): ReadonlyMap<string, Signature> {
  const own = models.map((model) => ({ model, signature: model.graph && signatureOf(model.graph) }));
  const task =
    own.find(({ signature }) => signature !== undefined)?.signature ?? impliedSignature(manifest, models);
  checkRules(manifest, task);
  const signatures = new Map<string, Signature>();
  for (const { model, signature = task } of own) {
    checkSame(model, signature, task);
    signatures.set(model.variant, signature);
  }
  return signatures;
}

/** The signature of a supplied variant. */
export function signatureOfVariant(signatures: ReadonlyMap<string, Signature>, variant: string): Signature {
  const signature = signatures.get(variant);
  if (signature === undefined) throw new RangeError(`Expected a signature of "${variant}"`);
  return signature;
}

/** The inputs and outputs that pre- and postprocessing imply, or that the first tfjs model names. */
function impliedSignature(
  { preprocess, postprocess, labels = [] }: CheckedManifest,
  models: readonly SuppliedModel[],
): Signature {
  if (preprocess?.kind === 'image' && postprocess?.kind === 'classification') {
    const { input, width, height, layout } = preprocess;
    const channels = preprocess.channels === 'rgb' ? 3 : 1;
    const shape = layout === 'NCHW' ? [-1, channels, height, width] : [-1, height, width, channels];
    return {
      inputs: [{ name: input, datatype: 'FP32', shape }],
      outputs: [{ name: postprocess.output, datatype: 'FP32', shape: [-1, labels.length] }],
    };
  }
  const [first] = models;
  const signature = first && graphModelSignature(first.files[0]?.bytes ?? new Uint8Array());
  if (signature !== undefined) return signature;
  throw new MeshError(
    'MESH_BAD_MANIFEST',
    'Expected an ONNX model, or "preprocess" and "postprocess" of a picture classifier, or a tfjs graph model with a "signature": what the task takes and gives follows from one of them',
  );
}

const TFJS_DATATYPES = { DT_FLOAT: 'FP32', DT_INT32: 'INT32', DT_BOOL: 'BOOL' } as const;

interface TfjsTensorInfo {
  readonly dtype?: string;
  readonly tensorShape?: { readonly dim?: readonly { readonly size?: string }[] };
}
type TfjsTensors = Readonly<Record<string, TfjsTensorInfo | null>>;

/** What a tfjs graph model says of itself; undefined when it has no signature. */
function graphModelSignature(modelJson: Uint8Array): Signature | undefined {
  const { signature } = JSON.parse(new TextDecoder().decode(modelJson)) as {
    signature?: { inputs?: TfjsTensors; outputs?: TfjsTensors };
  };
  const side = (tensors: TfjsTensors = {}) =>
    Object.entries(tensors).map(([name, info]): TensorSignature => {
      const { dtype, tensorShape } = info ?? {};
      const shape = (tensorShape?.dim ?? []).map(({ size }) => Number(size ?? 1));
      const datatype = TFJS_DATATYPES[dtype as keyof typeof TFJS_DATATYPES];
      if (datatype === undefined) {
        throw new MeshError(
          'MESH_BAD_MODEL',
          `Expected "${name}" to be float, int32 or bool, found "${dtype}"`,
        );
      }
      if (!shape.every((size) => Number.isSafeInteger(size) && size >= -1)) {
        throw new MeshError(
          'MESH_BAD_MODEL',
          `Expected the sizes of "${name}" to be whole numbers from -1, found [${shape.join(', ')}]`,
        );
      }
      return { name, datatype, shape };
    });
  const [inputs, outputs] = [side(signature?.inputs), side(signature?.outputs)];
  return inputs.length > 0 && outputs.length > 0 ? { inputs, outputs } : undefined;
}

/** Pre- and postprocessing have to speak of tensors that the task has. */
function checkRules(
  { preprocess, postprocess, labels = [] }: CheckedManifest,
  { inputs, outputs }: Signature,
): void {
  if (preprocess !== undefined) {
    const input = named(inputs, preprocess.input, 'preprocess.input');
    if (preprocess.kind === 'image') {
      const { width, height, layout } = preprocess;
      const channels = preprocess.channels === 'rgb' ? 3 : 1;
      checkShape(
        input,
        layout === 'NCHW' ? [1, channels, height, width] : [1, height, width, channels],
        'preprocess',
      );
    } else {
      checkShape(input, [1, preprocess.context + preprocess.samples], 'preprocess');
      for (const { input: from, output } of preprocess.state) {
        named(inputs, from, 'preprocess.state');
        named(outputs, output, 'preprocess.state');
      }
      for (const name of Object.keys(preprocess.constants)) named(inputs, name, 'preprocess.constants');
    }
  }
  if (postprocess?.kind === 'classification') {
    const output = named(outputs, postprocess.output, 'postprocess.output');
    checkShape(output, [1, labels.length], 'postprocess, with as many labels');
  }
  if (postprocess?.kind === 'detection') {
    const scores = named(outputs, postprocess.scores, 'postprocess.scores');
    named(outputs, postprocess.boxes, 'postprocess.boxes');
    checkShape(
      scores,
      [1, -1, labels.length + (postprocess.hasBackground ? 1 : 0)],
      'postprocess, with as many labels',
    );
  }
}

function named(tensors: readonly TensorSignature[], name: string, field: string): TensorSignature {
  const found = tensors.find((tensor) => tensor.name === name);
  if (found !== undefined) return found;
  const known = tensors.map((tensor) => `"${tensor.name}"`).join(', ');
  throw new MeshError(
    'MESH_BAD_MANIFEST',
    `"${field}": expected one of the model's ${known}, found "${name}"`,
  );
}

/** -1 fits everything. */
function checkShape({ name, shape }: TensorSignature, expected: readonly number[], what: string): void {
  const fits =
    shape.length === expected.length &&
    expected.every((dimension, axis) => dimension === -1 || shape[axis] === -1 || shape[axis] === dimension);
  if (fits) return;
  throw new MeshError(
    'MESH_BAD_MANIFEST',
    `"${what}": expected "${name}" to have shape [${expected.join(', ')}], the model has [${shape.join(', ')}] (-1 = any)`,
  );
}

/** Every model of a task takes the same inputs and gives the same outputs, by name and datatype. */
function checkSame({ variant }: SuppliedModel, found: Signature, expected: Signature): void {
  for (const side of ['inputs', 'outputs'] as const) {
    const list = (signature: Signature) =>
      signature[side].map(({ name, datatype, shape }) => `${name} ${datatype} rank ${shape.length}`).sort();
    const [own, others] = [list(found).join(', '), list(expected).join(', ')];
    if (own === others) continue;
    throw new MeshError(
      'MESH_BAD_MANIFEST',
      `Expected every model of the task to have the same ${side} (${others}), "${variant}" has ${own}; register it as a task of its own`,
    );
  }
}
