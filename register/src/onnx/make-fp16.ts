import type { Made } from '../made.ts';
import { elementTypesOf } from './element-types.ts';
import { foldBatchNorms } from './fold-batch-norm.ts';
import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataType,
  type ValueInfoProto,
} from './generated/onnx_pb.ts';
import { halfBitsOf } from './half.ts';
import { type HalfNode, planHalf } from './half-plan.ts';
import { withFields } from './message.ts';
import { isStandard, makeNode } from './nodes.ts';
import { opsetOf, withInnerGraphs, withoutUnusedInitialisers } from './rewrite.ts';
import { createNames, type Scope, scopeOf } from './scope.ts';
import { makeTensor, readFloats, shapeOf } from './tensor-data.ts';

const { FLOAT, FLOAT16 } = TensorProto_DataType;

/** Since this version `Cast` names its type by number and operators broadcast without attributes. */
const MIN_OPSET = 7;

/**
 * A model that computes in fp16 where `planHalf` says so, with weights in fp16, and takes and gives fp32 as before. Between nodes
 * that compute in fp16 and others stand `Cast` nodes; graphs inside (`If`, `Loop`, `Scan`) take and give fp32 too. Weights
 * are rounded to nearest, ties to even; what is too small for fp16 becomes a subnormal or 0, as IEEE 754 has it.
 */
export function makeFp16(model: ModelProto): Made<ModelProto> {
  const opset = opsetOf(model);
  if (opset < MIN_OPSET) {
    return { kind: 'left-out', reason: `fp16 needs opset ${MIN_OPSET} or newer, the model has ${opset}` };
  }
  // A variance of a batch normalisation may be too small for fp16; folded into weights it is gone.
  const folded = foldBatchNorms(model);
  if (folded.graph === undefined) return { kind: 'left-out', reason: 'the model has no graph' };
  const scope = scopeOf(folded.graph);
  const plan = planHalf(scope, elementTypesOf(scope));
  if (plan.kind === 'refused') return { kind: 'left-out', reason: plan.reason };
  if (plan.nodes.size === 0) {
    return { kind: 'left-out', reason: 'it has no operator that computes in fp32 and may do so in fp16' };
  }
  const rewrite = createHalfGraph(scope, undefined, { nodes: plan.nodes, freshName: createNames(folded) });
  return { kind: 'made', value: withoutUnusedInitialisers(withFields(folded, { graph: rewrite.graph() })) };
}

interface HalfParts {
  readonly nodes: ReadonlyMap<NodeProto, HalfNode>;
  readonly freshName: (wanted: string) => string;
}

/** A graph on its way to fp16. A tensor may have two forms: fp32 under its own name, and fp16 under another. */
interface HalfGraph {
  /** Name of the fp16 form of a constant of this graph or one around it; undefined when it is no constant. */
  halfConstant(name: string): string | undefined;
  /** Name of the fp16 form, if there is one by now, here or around. */
  existingHalf(name: string): string | undefined;
  /** Makes sure that there is the fp32 form, here or around. */
  needFloat(name: string): void;
  graph(): GraphProto;
}

function createHalfGraph(scope: Scope, outer: HalfGraph | undefined, parts: HalfParts): HalfGraph {
  const nodes: NodeProto[] = [];
  const tensors: TensorProto[] = [];
  const halves = new Map<string, string>();
  /** Tensors whose fp16 form was computed and whose fp32 form does not exist (yet). */
  const onlyHalf = new Set<string>();

  const halfName = (name: string) => {
    const half = parts.freshName(`${name}_fp16`);
    halves.set(name, half);
    return half;
  };

  const self: HalfGraph = {
    halfConstant(name) {
      const tensor = scope.constants.get(name);
      if (tensor === undefined) return scope.defined.has(name) ? undefined : outer?.halfConstant(name);
      const known = halves.get(name);
      if (known !== undefined) return known;
      const bits = Uint16Array.from(readFloats(tensor) ?? [], halfBitsOf);
      const half = halfName(name);
      tensors.push(makeTensor(half, FLOAT16, shapeOf(tensor), bits));
      return half;
    },

    existingHalf(name) {
      return halves.get(name) ?? (scope.defined.has(name) ? undefined : outer?.existingHalf(name));
    },

    needFloat(name) {
      if (!scope.defined.has(name)) outer?.needFloat(name);
      if (!onlyHalf.delete(name)) return;
      nodes.push(makeNode('Cast', [halves.get(name) ?? ''], [name], { to: FLOAT }));
    },

    graph() {
      for (const node of scope.graph.node) convert(node);
      for (const { name } of scope.graph.output) self.needFloat(name);
      return withFields(scope.graph, {
        node: nodes,
        initializer: [...scope.graph.initializer, ...tensors],
        valueInfo: scope.graph.valueInfo.map((info) =>
          onlyHalf.has(info.name) ? halfInfo(info, halves) : info,
        ),
      });
    },
  };

  /** Name of the fp16 form, made by a `Cast` where there is none. */
  const needHalf = (name: string): string => {
    const existing = self.halfConstant(name) ?? self.existingHalf(name);
    if (existing !== undefined) return existing;
    const half = halfName(name);
    nodes.push(makeNode('Cast', [name], [half], { to: FLOAT16 }));
    return half;
  };

  const convert = (node: NodeProto): void => {
    const half = parts.nodes.get(node);
    if (half !== undefined) {
      const input = node.input.map((name, place) => (half.inputs.includes(place) ? needHalf(name) : name));
      const output = node.output.map((name, place) => {
        if (!half.outputs.includes(place)) return name;
        onlyHalf.add(name);
        return halfName(name);
      });
      nodes.push(withFields(node, { input, output }));
      return;
    }
    // These read any kind, and what they give does not depend on it.
    const readsAnyKind = isStandard(node) && ['Cast', 'Shape', 'Size'].includes(node.opType);
    const input = node.input.map((name) => {
      const existing = readsAnyKind && onlyHalf.has(name) ? halves.get(name) : undefined;
      if (existing === undefined) self.needFloat(name);
      return existing ?? name;
    });
    const converted = withInnerGraphs(node, (graph) => {
      const inner = scope.inner.get(graph);
      return inner === undefined ? graph : createHalfGraph(inner, self, parts).graph();
    });
    nodes.push(withFields(converted, { input }));
  };

  return self;
}

/** What the file said of a tensor that is only there as fp16 now. */
function halfInfo(info: ValueInfoProto, halves: ReadonlyMap<string, string>): ValueInfoProto {
  const { type } = info;
  const name = halves.get(info.name) ?? info.name;
  if (type?.value.case !== 'tensorType') return withFields(info, { name });
  const value = { case: 'tensorType' as const, value: withFields(type.value.value, { elemType: FLOAT16 }) };
  return withFields(info, { name, type: withFields(type, { value }) });
}
