import {
  channelsOf,
  type LinearNode,
  type OperationNode,
  operation,
  type TfAttributes,
  type TfNode,
  weights,
} from './tf-graph.ts';

/** Operations of tfjs-converter without and with a bias and an activation in them (its `op_list/convolution.ts`, `matrices.ts`). */
const OPERATIONS = {
  convolution: { plain: 'Conv2D', fused: '_FusedConv2D' },
  'depthwise-convolution': { plain: 'DepthwiseConv2dNative', fused: 'FusedDepthwiseConv2dNative' },
  'matrix-product': { plain: 'MatMul', fused: '_FusedMatMul' },
} as const;

/** A linear node as the operations that it becomes; the last one bears its name. */
export function spellLinear(node: LinearNode): OperationNode {
  const { form, inputs, attributes, name, bias, activation, outputShape } = node;
  const kernel = { ...weights(node.kernelShape, node.kernel), name: `${name ?? form}/kernel` };
  if (form === 'transposed-convolution') {
    const parts = [outputShape as TfNode, kernel, inputs[0]];
    return named(spellTransposed(operation('Conv2DBackpropInput', parts, attributes), node), name);
  }
  if (bias === undefined && activation === undefined) {
    return named(operation(OPERATIONS[form].plain, [...inputs, kernel], attributes), name);
  }
  // tfjs takes the first of the fused operations for the bias, so an activation needs one before it.
  const fused = activation === undefined ? ['BiasAdd'] : ['BiasAdd', activation];
  const extra: TfAttributes = { num_args: { i: 1 }, fused_ops: { texts: fused } };
  const parts = [...inputs, kernel, biasNode(node)];
  return named(operation(OPERATIONS[form].fused, parts, { ...attributes, ...extra }), name);
}

/** tfjs fuses nothing into a transposed convolution. */
function spellTransposed(product: OperationNode, node: LinearNode): OperationNode {
  const summed = node.bias === undefined ? product : operation('AddV2', [product, biasNode(node)]);
  return node.activation === undefined ? summed : operation(node.activation, [summed]);
}

function biasNode(node: LinearNode): TfNode {
  const bias = node.bias ?? new Float32Array(channelsOf(node));
  return { ...weights([bias.length], bias), name: `${node.name ?? node.form}/bias` };
}

function named(node: OperationNode, name: string | undefined): OperationNode {
  return { ...node, name };
}
