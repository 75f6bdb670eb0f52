import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type ModelProto, ModelProtoSchema } from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { randomNumbers } from '../../../support/tfjs/build-onnx.ts';

/** Outputs by name, as numbers. */
export type Outputs = Readonly<Record<string, Float64Array>>;

/** A model's own tensors, or numbers for a few of its inputs. */
export type Feeds = Readonly<Record<string, readonly number[]>>;

/** Runs a model in onnxruntime; inputs that `feeds` leaves out get pseudo-random numbers, free axes size 2. */
export async function runOnnx(model: ModelProto | Uint8Array, feeds: Feeds = {}): Promise<Outputs> {
  const bytes = model instanceof Uint8Array ? model : toBinary(ModelProtoSchema, model);
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  try {
    const random = randomNumbers(7);
    const tensors: Record<string, Tensor> = {};
    for (const metadata of session.inputMetadata) {
      if (!metadata.isTensor) throw new Error(`Expected input ${metadata.name} to be a tensor`);
      const shape = metadata.shape.map((size) => (typeof size === 'number' ? size : 2));
      const count = shape.reduce((product, size) => product * size, 1);
      const values = feeds[metadata.name] ?? Array.from({ length: count }, random);
      tensors[metadata.name] = tensorOf(metadata.type, values, shape);
    }
    const outputs = await session.run(tensors);
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { data }]) => [
        name,
        Float64Array.from(data as Float32Array | BigInt64Array, Number),
      ]),
    );
  } finally {
    await session.release();
  }
}

function tensorOf(type: string, values: readonly number[], shape: readonly number[]): Tensor {
  switch (type) {
    case 'int64':
      return new Tensor(
        'int64',
        BigInt64Array.from(values, (value) => BigInt(Math.round(value))),
        shape,
      );
    case 'bool':
      return new Tensor(
        'bool',
        values.map((value) => value > 0),
        shape,
      );
    default:
      return new Tensor('float32', Float32Array.from(values), shape);
  }
}

/** Largest difference between two runs, as a share of the largest number of the first; NaN against NaN is no difference. */
export function largestDifference(expected: Outputs, found: Outputs): number {
  let largest = 0;
  for (const [name, values] of Object.entries(expected)) {
    const others = found[name];
    if (others?.length !== values.length) return Number.POSITIVE_INFINITY;
    const size = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
    for (const [index, value] of values.entries()) {
      if (Object.is(value, others[index])) continue;
      const difference = Math.abs(value - (others[index] ?? Number.NaN)) / size;
      largest =
        difference <= largest ? largest : Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
    }
  }
  return largest;
}
