import { createHash } from 'node:crypto';
import type { Artifact, TensorSignature, VariantSpec } from '@nearfar/protocol';
import type { TestVariant } from './model-variant.ts';

/** A node of a graph without weights. */
export interface GraphNode {
  readonly name: string;
  readonly op: string;
  readonly input: readonly string[];
  /** Attributes that are texts or whole numbers. */
  readonly text?: Readonly<Record<string, string>>;
  readonly count?: Readonly<Record<string, number>>;
}

export interface GraphOptions extends Pick<VariantSpec, 'inputs' | 'outputs'> {
  readonly nodes: readonly GraphNode[];
  readonly isBatchable?: boolean;
}

const DTYPES: Readonly<Record<string, string>> = { FP32: 'DT_FLOAT', INT32: 'DT_INT32', BOOL: 'DT_BOOL' };

/** A tfjs graph model written by hand, as a variant. */
export function graphVariant({ inputs, outputs, nodes, isBatchable = true }: GraphOptions): TestVariant {
  const placeholders = inputs.map(({ name, datatype, shape }) => ({
    name,
    op: 'Placeholder',
    attr: {
      dtype: { type: DTYPES[datatype] },
      shape: { shape: { dim: shape.map((size) => ({ size: String(size) })) } },
    },
  }));
  const others = nodes.map(({ name, op, input, text = {}, count = {} }) => ({
    name,
    op,
    input,
    attr: {
      ...Object.fromEntries(Object.entries(text).map(([key, value]) => [key, { s: btoa(value) }])),
      ...Object.fromEntries(Object.entries(count).map(([key, value]) => [key, { i: String(value) }])),
    },
  }));
  const model = {
    format: 'graph-model',
    signature: { inputs: signatureOf(inputs), outputs: signatureOf(outputs) },
    modelTopology: { node: [...placeholders, ...others], versions: { producer: 1 }, library: {} },
    weightsManifest: [],
  };
  const bytes = new TextEncoder().encode(JSON.stringify(model));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const artifact: Artifact = { path: 'model.json', sha256, sizeBytes: bytes.byteLength };
  const spec: VariantSpec = {
    task: 'graph',
    variant: 'graph-fp32-tfjs',
    revision: 1,
    model: 'graph',
    precision: 'fp32',
    format: 'tfjs',
    origin: 'supplied',
    accuracy: { value: 0.9, source: 'declared', sampleSize: 0 },
    inputs,
    outputs,
    artifacts: [artifact],
    tolerance: 1e-3,
    isBatchable,
  };
  return { spec, files: new Map([[sha256, bytes]]) };
}

function signatureOf(tensors: readonly TensorSignature[]): Record<string, unknown> {
  return Object.fromEntries(
    tensors.map(({ name, datatype, shape }) => [
      name,
      {
        name: `${name}:0`,
        dtype: DTYPES[datatype],
        tensorShape: { dim: shape.map((size) => ({ size: String(size) })) },
      },
    ]),
  );
}
