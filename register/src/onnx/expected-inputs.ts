import {
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataType,
} from './generated/onnx_pb.ts';
import { attributeOf, intAttribute, isStandard } from './nodes.ts';
import { constantOf, floatConstantOf, type Scope, scopeOf } from './scope.ts';
import { readFloats } from './tensor-data.ts';

/** The expected value of each channel of a tensor, by the tensor's name. */
export type ExpectedValues = ReadonlyMap<string, Float64Array>;

/**
 * What the batch normalisations of a model tell about its tensors: their outputs have mean β and deviation γ in each channel,
 * taken as normal, and what an activation makes of that follows (Nagel et al. 2019, "Data-Free Quantization Through Weight
 * Equalization and Bias Correction", 4.2 and appendix C). Asks for the model before batch normalisations are folded.
 */
export function expectedValues(model: ModelProto): ExpectedValues {
  const means = new Map<string, Float64Array>();
  if (model.graph === undefined) return means;
  const scope = scopeOf(model.graph);
  /** Mean and deviation where a tensor comes straight from a normalisation. */
  const normals = new Map<string, Normal>();
  for (const node of scope.graph.node) {
    if (!isStandard(node)) continue;
    const [input = ''] = node.input;
    const [output = ''] = node.output;
    const normal = node.opType === 'BatchNormalization' ? normalOf(node, scope) : undefined;
    if (normal !== undefined) {
      normals.set(output, normal);
      means.set(output, normal.mean);
    }
    const bounds = boundsOf(node, scope);
    const before = normals.get(input);
    const mean = bounds && before ? clippedMeans(before, bounds) : sameMeans(node, means);
    if (mean !== undefined) means.set(output, mean);
  }
  return means;
}

interface Normal {
  readonly mean: Float64Array;
  readonly deviation: Float64Array;
}

function normalOf(node: NodeProto, scope: Scope): Normal | undefined {
  const [gamma, beta] = [1, 2].map((index) => floatConstantOf(scope, node.input[index]));
  const [deviation, mean] = [gamma, beta].map((tensor) => tensor && readFloats(tensor));
  if (deviation === undefined || mean === undefined) return undefined;
  return { mean: Float64Array.from(mean), deviation: Float64Array.from(deviation, Math.abs) };
}

/** Where an activation cuts its input off; undefined for a node that does something else. */
function boundsOf(node: NodeProto, scope: Scope): readonly [number, number] | undefined {
  if (node.opType === 'Relu') return [0, Number.POSITIVE_INFINITY];
  if (node.opType !== 'Clip') return undefined;
  const bound = (index: number, name: string, fallback: number) => {
    const input = node.input[index] ?? '';
    if (input === '') return attributeOf(node, name)?.f ?? fallback;
    return scalar(constantOf(scope, input));
  };
  const [low, high] = [bound(1, 'min', Number.NEGATIVE_INFINITY), bound(2, 'max', Number.POSITIVE_INFINITY)];
  return low === undefined || high === undefined ? undefined : [low, high];
}

function scalar(tensor: TensorProto | undefined): number | undefined {
  return tensor?.dataType === TensorProto_DataType.FLOAT ? readFloats(tensor)?.[0] : undefined;
}

/** What a node that keeps the means of channels gives. */
function sameMeans(node: NodeProto, means: ExpectedValues): Float64Array | undefined {
  switch (node.opType) {
    case 'Identity':
    case 'Dropout':
    case 'GlobalAveragePool':
      return means.get(node.input[0] ?? '');
    case 'Concat': {
      const parts = node.input.map((name) => means.get(name));
      if (intAttribute(node, 'axis', 0) !== 1 || parts.some((part) => part === undefined)) return undefined;
      return Float64Array.from(parts.flatMap((part) => [...(part ?? [])]));
    }
    default:
      return undefined;
  }
}

/** E[min(max(x, low), high)] of a normal x. */
function clippedMeans({ mean, deviation }: Normal, [low, high]: readonly [number, number]): Float64Array {
  return mean.map((mu, channel) => {
    const sigma = Math.max(deviation[channel] ?? 0, 1e-9);
    const [a, b] = [(low - mu) / sigma, (high - mu) / sigma];
    const inside = mu * (cumulative(b) - cumulative(a)) + sigma * (density(a) - density(b));
    const below = Number.isFinite(low) ? low * cumulative(a) : 0;
    const above = Number.isFinite(high) ? high * (1 - cumulative(b)) : 0;
    return below + inside + above;
  });
}

function density(x: number): number {
  return Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
}

/** Share of the standard normal below x; off by 1.5e-7 at most (Abramowitz & Stegun 1964, 7.1.26). */
function cumulative(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * z);
  const series =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = (series * Math.exp(-z * z)) / 2;
  return x < 0 ? tail : 1 - tail;
}
