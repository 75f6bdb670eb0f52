import { toBinary } from '@bufbuild/protobuf';
import type { Made } from '../made.ts';
import { type ExpectedValues, expectedValues } from './expected-inputs.ts';
import { foldBatchNorms } from './fold-batch-norm.ts';
import { type ModelProto, ModelProtoSchema, type NodeProto } from './generated/onnx_pb.ts';
import { integerConvolution } from './integer-convolution.ts';
import { integerMatrixProduct } from './integer-matrix-product.ts';
import { createIntegerParts, type IntegerParts } from './integer-parts.ts';
import { LARGEST_SHARE, withInt8Weights } from './make-int8-weights.ts';
import { withFields } from './message.ts';
import { isStandard } from './nodes.ts';
import { rewriteGraphs, withoutAsides, withoutUnusedInitialisers } from './rewrite.ts';
import { createNames, type Scope } from './scope.ts';
import { upgradeOpset } from './upgrade-opset.ts';

/** The first version with `DynamicQuantizeLinear`. */
const MIN_OPSET = 11;

/**
 * A model that multiplies 8-bit integers where that is faster: the inputs of large matrix products and convolutions are
 * quantised on each run by their own range (`DynamicQuantizeLinear`, asymmetric uint8 for the whole tensor), multiplied by int8
 * weights (`MatMulInteger`) and scaled back. Weights of the other layers are kept as int8 and used in fp32, as
 * `makeInt8Weights` does. Rows of a batch share a range, so that an answer depends a little on its neighbours.
 *
 * Convolutions become matrix products over shifted copies of their input, channels last (im2col, Chellapilla, Puri & Simard
 * 2006), since that is what onnxruntime does fast. Median ms, onnxruntime-node 1.30, one thread, EPYC with AVX-512 VNNI:
 *
 *                                    fp32   this   ConvInteger u8   ConvInteger i8   quantise, dequantise
 *     3×3, 64 → 64 at 28×28          0.24   0.12   0.25             1.64             0.34
 *     3×3, 128 → 128 at 14×14        0.24   0.10   0.23             1.54             0.33
 *     3×3, 512 → 512 at 7×7          0.96   0.28   0.94             5.73             1.56
 *     depthwise + 1×1, 384 at 14×14  0.26   0.14
 *     depthwise 3×3, 96 at 56×56     0.15          0.48             2.37             0.44
 *     matrix 1 × 1024 × 1000         0.048  0.019                                    1.03
 *     matrix 128 × 768 × 768         0.61   0.20   (uint8 weights: 0.41)             1.24
 */
export function makeInt8Dynamic(model: ModelProto): Made<ModelProto> {
  const upgraded = upgradeOpset(model, MIN_OPSET);
  if (upgraded.kind === 'left-out') return upgraded;
  const expected = expectedValues(model);
  const folded = withoutAsides(foldBatchNorms(upgraded.value));
  const freshName = createNames(folded);
  let count = 0;
  const rewritten = rewriteGraphs(folded, (scope) => {
    const parts = createIntegerParts(freshName);
    const node = scope.graph.node.flatMap((entry) => {
      const nodes = isStandard(entry) ? integerForm(entry, scope, parts, expected) : undefined;
      if (nodes !== undefined) count += 1;
      return nodes ?? [entry];
    });
    return withFields(scope.graph, { node, initializer: [...scope.graph.initializer, ...parts.tensors()] });
  });
  if (count > 0) {
    const largestBytes = toBinary(ModelProtoSchema, model).length * LARGEST_SHARE;
    const product = withoutUnusedInitialisers(rewritten);
    return { kind: 'made', value: withInt8Weights(product, expected, largestBytes) ?? product };
  }
  return {
    kind: 'left-out',
    reason:
      'no matrix product with constant weights and no convolution without groups is large enough for integer arithmetic to be faster than fp32',
  };
}

/** The nodes that do a node's work in integers, or undefined where fp32 is faster or the node is of another form. */
function integerForm(
  node: NodeProto,
  scope: Scope,
  parts: IntegerParts,
  expected: ExpectedValues,
): readonly NodeProto[] | undefined {
  switch (node.opType) {
    case 'Conv':
      return integerConvolution(node, scope, parts, expected);
    case 'MatMul':
    case 'Gemm':
      return integerMatrixProduct(node, scope, parts);
    default:
      return undefined;
  }
}
