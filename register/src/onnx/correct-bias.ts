import type { ExpectedValues } from './expected-inputs.ts';
import type { NodeProto } from './generated/onnx_pb.ts';
import { intAttribute } from './nodes.ts';
import { floatConstantOf, type Scope } from './scope.ts';
import { readFloats } from './tensor-data.ts';

/**
 * The bias that makes up for what other weights change in a convolution's mean output: b − Σ (after − before) · E[x] (Nagel et
 * al. 2019, 4.2). Padding, which is 0 instead of x, is not reckoned with. Costs no bytes and no time, and matters much
 * where inputs are never negative: figures at `quantiseBlocks`.
 *
 * `before` and `after` are the weights [outputs, inputs / group, ...kernel].
 *
 * @returns undefined when the node is no convolution, or its bias or its input's mean is not known.
 */
export function correctedBias(
  node: NodeProto,
  scope: Scope,
  expected: ExpectedValues,
  shape: readonly number[],
  before: Float32Array,
  after: Float32Array,
): Float32Array | undefined {
  const [input = '', , biasName = ''] = node.input;
  const mean = expected.get(input);
  const [outputs = 0, inputs = 0] = shape;
  const group = intAttribute(node, 'group', 1);
  if (node.opType !== 'Conv' || mean === undefined || mean.length !== inputs * group) return undefined;
  const tensor = floatConstantOf(scope, biasName);
  if (biasName !== '' && tensor === undefined) return undefined;
  const bias = Float64Array.from(
    tensor === undefined ? new Float32Array(outputs) : (readFloats(tensor) ?? []),
  );

  const perOutput = before.length / outputs;
  const taps = perOutput / inputs;
  for (let index = 0; index < before.length; index += 1) {
    const output = Math.floor(index / perOutput);
    const ofGroup = Math.floor(output / (outputs / group)) * inputs;
    const channel = ofGroup + Math.floor((index % perOutput) / taps);
    bias[output] = (bias[output] ?? 0) - ((after[index] ?? 0) - (before[index] ?? 0)) * (mean[channel] ?? 0);
  }
  return Float32Array.from(bias);
}
