import { toBinary } from '@bufbuild/protobuf';
import type { Made } from '../made.ts';
import { correctedBias } from './correct-bias.ts';
import { type ExpectedValues, expectedValues } from './expected-inputs.ts';
import { foldBatchNorms } from './fold-batch-norm.ts';
import { type ModelProto, ModelProtoSchema, type NodeProto, type TensorProto } from './generated/onnx_pb.ts';
import { withFields } from './message.ts';
import { isStandard } from './nodes.ts';
import { opsetOf, rewriteGraphs, withoutAsides, withoutUnusedInitialisers } from './rewrite.ts';
import { constantOf, createNames, type Scope } from './scope.ts';
import { type Fineness, MIN_ELEMENTS, type SmallerForm, smallerForm } from './smaller-form.ts';
import { float32Tensor, readFloats, shapeOf } from './tensor-data.ts';

/** Since this version `Mul` broadcasts and `Cast` names its type by number. */
const MIN_OPSET = 7;
/** Largest share of the model's bytes that the variant may have; what is below it is spent on exactness. */
export const LARGEST_SHARE = 0.298;

/** From the most exact to the smallest. */
const FINENESSES: readonly [Fineness, ...Fineness[]] = [
  { blockSize: 32, minElements: 5_000 },
  { blockSize: 64, minElements: 5_000 },
  { blockSize: 64, minElements: 2_000 },
  { blockSize: 128, minElements: 2_000 },
  { blockSize: 256, minElements: 1_000 },
  { blockSize: Number.POSITIVE_INFINITY, minElements: MIN_ELEMENTS },
];

/**
 * A model whose weights are kept in 8 bits and turned back to fp32 by nodes of the graph; it computes in fp32. The integers have
 * a scale and an offset for each block of elements of an output channel, as fine as fits into 30 % of the model's bytes.
 * Biases are corrected for what that changes on average. Small weights and those of depthwise convolutions are kept as fp16.
 *
 * Runtimes work the nodes out once, when they load the model, since all their inputs are constants, so a run takes as long as
 * with fp32 weights. `DequantizeLinear` would say the same in one node, but onnxruntime keeps it, to look for integer
 * kernels, and then does the work on each run: median of a 128-channel 3 × 3 convolution at 14 × 14 0.23 ms with fp32
 * weights, 0.23 ms with these nodes, 0.33 ms with DequantizeLinear (onnxruntime-node 1.30, one thread, EPYC with AVX-512
 * VNNI). It also needs opset 13 for channels and 21 for blocks.
 */
export function makeInt8Weights(model: ModelProto): Made<ModelProto> {
  const opset = opsetOf(model);
  if (opset < MIN_OPSET) {
    return {
      kind: 'left-out',
      reason: `int8 weights need opset ${MIN_OPSET} or newer, the model has ${opset}`,
    };
  }
  const baseBytes = toBinary(ModelProtoSchema, model).length;
  const folded = withoutAsides(foldBatchNorms(model));
  const made = withInt8Weights(folded, expectedValues(model), baseBytes * LARGEST_SHARE);
  if (made !== undefined) {
    const isSmaller = toBinary(ModelProtoSchema, made).length < baseBytes;
    return isSmaller
      ? { kind: 'made', value: made }
      : { kind: 'left-out', reason: 'it would not be smaller' };
  }
  return {
    kind: 'left-out',
    reason: `no fp32 weights of ${MIN_ELEMENTS} elements or more that only convolutions, matrix products, recurrent layers or embeddings read`,
  };
}

/**
 * The model with its weights in 8 bits, as fine as `largestBytes` allows, or the smallest there is; undefined when it has no
 * weights that can be made smaller.
 */
export function withInt8Weights(
  model: ModelProto,
  expected: ExpectedValues,
  largestBytes: number,
): ModelProto | undefined {
  let smallest: ModelProto | undefined;
  for (const fineness of FINENESSES) {
    const { model: made, count } = withFineness(model, expected, fineness);
    if (count === 0) return undefined;
    smallest = made;
    if (toBinary(ModelProtoSchema, made).length <= largestBytes) break;
  }
  return smallest;
}

function withFineness(model: ModelProto, expected: ExpectedValues, fineness: Fineness) {
  const freshName = createNames(model);
  let count = 0;
  const rewritten = rewriteGraphs(model, (scope) => {
    const { graph } = scope;
    const small = new Map<string, SmallerForm>();
    for (const [name, tensor] of scope.constants) {
      const form = smallerForm(scope, name, tensor, fineness, freshName);
      if (form !== undefined) small.set(name, form);
    }
    count += small.size;
    const biases: TensorProto[] = [];
    const node = graph.node.map((entry) => {
      const bias = biasOf(entry, scope, small, expected);
      if (bias === undefined) return entry;
      const name = freshName('q');
      biases.push(float32Tensor(name, [bias.length], bias));
      return withFields(entry, { input: [...entry.input.slice(0, 2), name] });
    });
    const isSmall = (name: string) => small.has(name);
    return withFields(graph, {
      initializer: [
        ...graph.initializer.filter(({ name }) => !isSmall(name)),
        ...[...small.values()].flatMap(({ tensors }) => tensors),
        ...biases,
      ],
      node: [...[...small.values()].flatMap(({ nodes }) => nodes), ...node],
    });
  });
  return { model: withoutUnusedInitialisers(rewritten), count };
}

/** The corrected bias of a convolution whose weights are made smaller. */
function biasOf(
  node: NodeProto,
  scope: Scope,
  small: ReadonlyMap<string, SmallerForm>,
  expected: ExpectedValues,
): Float32Array | undefined {
  const [, weight = ''] = node.input;
  const after = isStandard(node) ? small.get(weight)?.restored : undefined;
  const tensor = constantOf(scope, weight);
  const before = after && tensor && readFloats(tensor);
  if (after === undefined || tensor === undefined || before === undefined) return undefined;
  return correctedBias(node, scope, expected, shapeOf(tensor), before, after);
}
