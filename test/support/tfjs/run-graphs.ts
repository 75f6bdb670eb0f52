import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Made } from '../../../register/src/made.ts';
import { type ModelProto, ModelProtoSchema } from '../../../register/src/onnx/generated/onnx_pb.ts';
import type { TfjsModel } from '../../../register/src/tfjs/make-tfjs.ts';

/** fp32 numbers and their shape. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export type NamedNumbers = Readonly<Record<string, Numbers>>;

/** A tfjs `model.json`, as far as tests look into it. */
export interface ModelJson {
  readonly modelTopology: { readonly node: readonly { readonly name: string; readonly op: string }[] };
  readonly signature: Record<'inputs' | 'outputs', Record<string, SignatureEntry>>;
  readonly weightsManifest: readonly {
    readonly paths: string[];
    readonly weights: tf.io.WeightsManifestEntry[];
  }[];
}

interface SignatureEntry {
  readonly name: string;
  readonly tensorShape: { readonly dim: readonly { readonly size: string }[] };
}

/** The model that was made, or an error with the reason why it was not. */
export function expectMade<Value>(made: Made<Value>): Value {
  if (made.kind === 'made') return made.value;
  throw new Error(`Expected a model, got the reason: ${made.reason}`);
}

export function readJson({ modelJson }: TfjsModel): ModelJson {
  return JSON.parse(new TextDecoder().decode(modelJson));
}

/** How often an operation is in the graph. */
export function countOperations(model: TfjsModel, operation: string): number {
  return readJson(model).modelTopology.node.filter(({ op }) => op === operation).length;
}

/** Starts a tfjs backend of this process. */
export async function useBackend(name: 'wasm' | 'cpu'): Promise<void> {
  const require = createRequire(import.meta.url);
  setWasmPaths(`${dirname(require.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm'))}/`);
  if (!(await tf.setBackend(name))) throw new Error(`tfjs found no ${name} backend`);
  await tf.ready();
}

/** What the tfjs model gives on the backend in use; it is asked by ONNX's names. */
export async function runTfjs(model: TfjsModel, inputs: NamedNumbers): Promise<NamedNumbers> {
  const { weightsManifest, ...topology } = readJson(model);
  const bytes = model.weights.map((file) => Uint8Array.from(file.bytes).buffer);
  const graph = await loadGraphModel({
    load: async () => ({
      ...topology,
      weightSpecs: weightsManifest.flatMap((group) => group.weights),
      weightData: bytes,
    }),
  });
  const names = Object.keys(topology.signature.outputs);
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, values }]) => [name, tf.tensor(values, [...shape])]),
  );
  const results = [graph.execute(tensors, names)].flat() as tf.Tensor[];
  try {
    return Object.fromEntries(
      await Promise.all(
        names.map(async (name, index) => {
          const result = results[index] as tf.Tensor;
          return [name, { shape: result.shape, values: Float32Array.from(await result.data()) }] as const;
        }),
      ),
    );
  } finally {
    tf.dispose([tensors, results]);
    graph.dispose();
  }
}

/** What onnxruntime gives. */
export async function runOnnx(model: ModelProto | Uint8Array, inputs: NamedNumbers): Promise<NamedNumbers> {
  const bytes = model instanceof Uint8Array ? model : toBinary(ModelProtoSchema, model);
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  try {
    const results = await session.run(
      Object.fromEntries(
        Object.entries(inputs).map(([name, { shape, values }]) => [
          name,
          new Tensor('float32', values, [...shape]),
        ]),
      ),
    );
    return Object.fromEntries(
      Object.entries(results).map(([name, { dims, data }]) => [
        name,
        { shape: dims, values: Float32Array.from(data as Float32Array) },
      ]),
    );
  } finally {
    await session.release();
  }
}

/** Pseudo-random inputs of the shapes that the model asks for, free axes of the size given. */
export function inputsFor(model: TfjsModel, free: number, random: () => number): NamedNumbers {
  return Object.fromEntries(
    Object.entries(readJson(model).signature.inputs).map(([name, { tensorShape }]) => {
      const shape = tensorShape.dim.map(({ size }) => (size === '-1' ? free : Number(size)));
      const count = shape.reduce((product, size) => product * size, 1);
      return [name, { shape, values: Float32Array.from({ length: count }, random) }];
    }),
  );
}

/** Largest difference of any output from what was expected, relative to values above 1; shapes and names have to be equal. */
export function largestDifference(found: NamedNumbers, expected: NamedNumbers): number {
  const shapes = (numbers: NamedNumbers) =>
    Object.entries(numbers)
      .map(([name, { shape }]) => `${name} [${shape}]`)
      .toSorted()
      .join();
  if (shapes(found) !== shapes(expected))
    throw new Error(`Expected ${shapes(expected)}, got ${shapes(found)}`);
  let largest = 0;
  for (const [name, { values }] of Object.entries(expected)) {
    for (const [index, value] of values.entries()) {
      const other = found[name]?.values[index] ?? Number.NaN;
      // Two infinities of one sign, or two NaN, are equal.
      if (Object.is(value, other)) continue;
      const difference = Math.abs(value - other) / Math.max(1, Math.abs(value));
      largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(largest, difference);
    }
  }
  return largest;
}
