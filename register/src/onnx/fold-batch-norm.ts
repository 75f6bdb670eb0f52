import type { ModelProto, NodeProto, TensorProto } from './generated/onnx_pb.ts';
import { withFields } from './message.ts';
import { floatAttribute, intAttribute, isStandard } from './nodes.ts';
import { rewriteGraphs, withoutUnusedInitialisers } from './rewrite.ts';
import { createNames, floatConstantOf, type Scope } from './scope.ts';
import { float32Tensor, readFloats, shapeOf } from './tensor-data.ts';

/**
 * The model with each batch normalisation that follows a convolution made part of it, as runtimes do when they load a model:
 * γ · (w∗x + b − μ) / √(σ² + ε) + β = (γ′w)∗x + γ′(b − μ) + β with γ′ = γ / √(σ² + ε) (Ioffe & Szegedy 2015, algorithm 2).
 * Saves four numbers a channel, and weights are quantised as they are used.
 */
export function foldBatchNorms(model: ModelProto): ModelProto {
  const freshName = createNames(model);
  const folded = rewriteGraphs(model, (scope) => {
    const { graph } = scope;
    const made: TensorProto[] = [];
    const replaced = new Map<NodeProto, NodeProto | undefined>();
    for (const conv of graph.node) {
      const fold = foldOf(conv, scope);
      if (fold === undefined) continue;
      const { norm, weight, bias } = fold;
      const output = norm.output[0] ?? '';
      const names = [freshName(`${output}_weight`), freshName(`${output}_bias`)] as const;
      made.push(
        float32Tensor(names[0], weight.shape, weight.values),
        float32Tensor(names[1], [bias.length], bias),
      );
      const input = [conv.input[0] ?? '', ...names];
      replaced.set(conv, undefined);
      // The convolution takes the place of the normalisation, so that it stays in front of whoever reads its output.
      replaced.set(norm, withFields(conv, { input, output: [output] }));
    }
    return withFields(graph, {
      initializer: [...graph.initializer, ...made],
      node: graph.node.flatMap((node) => (replaced.has(node) ? (replaced.get(node) ?? []) : [node])),
    });
  });
  return withoutUnusedInitialisers(folded);
}

interface Fold {
  readonly norm: NodeProto;
  readonly weight: { readonly shape: readonly number[]; readonly values: Float32Array };
  readonly bias: Float32Array;
}

/** The convolution's new weights, when its only reader is a batch normalisation and all numbers are known. */
function foldOf(conv: NodeProto, scope: Scope): Fold | undefined {
  if (conv.opType !== 'Conv' || !isStandard(conv)) return undefined;
  const uses = scope.uses.get(conv.output[0] ?? '') ?? [];
  const [use] = uses;
  if (uses.length !== 1 || use?.kind !== 'input' || use.scope !== scope || use.index !== 0) return undefined;
  const norm = use.node;
  if (!isPlainBatchNorm(norm)) return undefined;

  const [weight, bias] = conv.input.slice(1).map((name) => floatConstantOf(scope, name));
  const parameters = norm.input.slice(1).map((name) => floatConstantOf(scope, name));
  const hasBias = (conv.input[2] ?? '') !== '';
  if (weight === undefined || (hasBias && bias === undefined)) return undefined;
  const [gamma, beta, mean, variance] = parameters.map((tensor) => tensor && readFloats(tensor));
  if (gamma === undefined || beta === undefined || mean === undefined || variance === undefined)
    return undefined;

  const shape = shapeOf(weight);
  const [channels = 0] = shape;
  if ([gamma, beta, mean, variance].some(({ length }) => length !== channels)) return undefined;
  const epsilon = floatAttribute(norm, 'epsilon', 1e-5);
  const factors = Float64Array.from(
    gamma,
    (value, channel) => value / Math.sqrt((variance[channel] ?? 0) + epsilon),
  );
  const old = readFloats(weight) ?? new Float32Array();
  const perChannel = old.length / channels;
  const oldBias = bias === undefined ? undefined : readFloats(bias);
  return {
    norm,
    weight: {
      shape,
      values: old.map((value, index) => value * (factors[Math.floor(index / perChannel)] ?? 0)),
    },
    bias: beta.map((value, channel) => {
      return ((oldBias?.[channel] ?? 0) - (mean[channel] ?? 0)) * (factors[channel] ?? 0) + value;
    }),
  };
}

/** Whether a node normalises by known numbers, one a channel, and gives nothing else. */
function isPlainBatchNorm(node: NodeProto): boolean {
  return (
    node.opType === 'BatchNormalization' &&
    isStandard(node) &&
    node.input.length === 5 &&
    node.output.slice(1).every((name) => name === '') &&
    intAttribute(node, 'training_mode', 0) === 0 &&
    intAttribute(node, 'spatial', 1) === 1
  );
}
