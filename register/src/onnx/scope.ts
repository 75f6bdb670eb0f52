import type { GraphProto, ModelProto, NodeProto, TensorProto } from './generated/onnx_pb.ts';
import { TensorProto_DataType } from './generated/onnx_pb.ts';
import { attributeOf, isStandard, subgraphsOf } from './nodes.ts';
import { float32Tensor, int64Tensor } from './tensor-data.ts';

/** One place that reads a tensor. */
export type Use =
  | { readonly kind: 'input'; readonly scope: Scope; readonly node: NodeProto; readonly index: number }
  | { readonly kind: 'graph-output' };

/** A graph with what its names stand for. A name that a graph does not define is looked for in the graph around it. */
export interface Scope {
  readonly graph: GraphProto;
  readonly outer: Scope | undefined;
  /** Names that this graph defines: its inputs, initialisers and the outputs of its nodes. */
  readonly defined: ReadonlySet<string>;
  /** Initialisers and the values of `Constant` nodes, in `values` of this graph only. */
  readonly constants: ReadonlyMap<string, TensorProto>;
  /** Who reads each name, here and in the graphs inside; names of outer graphs included. */
  readonly uses: ReadonlyMap<string, readonly Use[]>;
  /** The graphs that each node runs. */
  readonly inner: ReadonlyMap<GraphProto, Scope>;
}

/** The scope of a graph and of all graphs inside it. */
export function scopeOf(graph: GraphProto, outer?: Scope): Scope {
  const uses = new Map<string, Use[]>();
  const inner = new Map<GraphProto, Scope>();
  const scope: Scope = {
    graph,
    outer,
    defined: definedIn(graph),
    constants: constantsIn(graph),
    uses,
    inner,
  };
  const addUses = (name: string, found: readonly Use[]) =>
    uses.set(name, [...(uses.get(name) ?? []), ...found]);

  for (const node of graph.node) {
    for (const [index, name] of node.input.entries()) {
      if (name !== '') addUses(name, [{ kind: 'input', scope, node, index }]);
    }
    for (const subgraph of subgraphsOf(node)) {
      const nested = scopeOf(subgraph, scope);
      inner.set(subgraph, nested);
      for (const [name, found] of nested.uses) if (!nested.defined.has(name)) addUses(name, found);
    }
  }
  for (const { name } of graph.output) addUses(name, [{ kind: 'graph-output' }]);
  return scope;
}

function definedIn(graph: GraphProto): Set<string> {
  return new Set([
    ...graph.input.map(({ name }) => name),
    ...graph.initializer.map(({ name }) => name),
    ...graph.sparseInitializer.map(({ values }) => values?.name ?? ''),
    ...graph.node.flatMap(({ output }) => output),
  ]);
}

function constantsIn(graph: GraphProto): Map<string, TensorProto> {
  const constants = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  for (const node of graph.node) {
    const value = constantValue(node);
    if (value !== undefined) constants.set(node.output[0] ?? '', value);
  }
  return constants;
}

/** What a `Constant` node gives, when it is numbers. */
function constantValue(node: NodeProto): TensorProto | undefined {
  if (node.opType !== 'Constant' || !isStandard(node)) return undefined;
  const floats = attributeOf(node, 'value_floats')?.floats;
  if (floats !== undefined) return float32Tensor('', [floats.length], floats);
  const float = attributeOf(node, 'value_float')?.f;
  if (float !== undefined) return float32Tensor('', [], [float]);
  const integers = attributeOf(node, 'value_ints')?.ints.map(Number);
  if (integers !== undefined) return int64Tensor('', [integers.length], integers);
  const integer = attributeOf(node, 'value_int')?.i;
  if (integer !== undefined) return int64Tensor('', [], [Number(integer)]);
  return attributeOf(node, 'value')?.t;
}

/** The constant that a name stands for, seen from `scope`; undefined when it is computed or comes from outside. */
export function constantOf(scope: Scope, name: string): TensorProto | undefined {
  if (name === '') return undefined;
  const found = scope.constants.get(name);
  if (found !== undefined || scope.defined.has(name)) return found;
  return scope.outer === undefined ? undefined : constantOf(scope.outer, name);
}

/** The fp32 constant that a name stands for, seen from `scope`. */
export function floatConstantOf(scope: Scope, name: string | undefined): TensorProto | undefined {
  const tensor = constantOf(scope, name ?? '');
  return tensor?.dataType === TensorProto_DataType.FLOAT ? tensor : undefined;
}

/** Gives names that nothing in the model has: the one wanted, with a number behind it where that is taken. */
export function createNames(model: ModelProto): (wanted: string) => string {
  const taken = new Set<string>();
  const collect = (graph: GraphProto) => {
    for (const { name } of [...graph.input, ...graph.output, ...graph.initializer]) taken.add(name);
    for (const { values } of graph.sparseInitializer) taken.add(values?.name ?? '');
    for (const node of graph.node) {
      for (const name of [...node.input, ...node.output]) taken.add(name);
      for (const subgraph of subgraphsOf(node)) collect(subgraph);
    }
  };
  if (model.graph !== undefined) collect(model.graph);
  return (wanted) => {
    let name = wanted;
    for (let copy = 2; taken.has(name); copy += 1) name = `${wanted}_${copy}`;
    taken.add(name);
    return name;
  };
}
