import { spellLinear } from './spell-linear.ts';
import type { ConstantNode, InputNode, LinearNode, OperationNode, TfAttribute, TfNode } from './tf-graph.ts';

/** A node as GraphDef JSON writes it (tensorflow/core/framework/node_def.proto). */
export interface NodeDef {
  readonly name: string;
  readonly op: string;
  readonly input: readonly string[];
  readonly attr: Readonly<Record<string, unknown>>;
}

/** A constant, whose bytes go to a file beside the graph. */
export interface NamedConstant {
  readonly name: string;
  readonly node: ConstantNode;
}

/** Nodes in an order in which they can run, and the constants among them. */
export interface WrittenGraph {
  readonly nodes: readonly NodeDef[];
  readonly constants: readonly NamedConstant[];
  /** The name that a node got. */
  readonly nameOf: (node: TfNode) => string;
}

type PlainNode = Exclude<TfNode, LinearNode>;

/**
 * Writes what `outputs` need. Names of inputs and outputs hold; another node's name is a wish, and gets a number behind it
 * where it is taken. `inputs` are there even when nothing reads them.
 */
export function writeGraph(inputs: readonly InputNode[], outputs: readonly TfNode[]): WrittenGraph {
  const spelt = new Map<LinearNode, OperationNode>();
  const plain = (node: TfNode): PlainNode => {
    if (node.kind !== 'linear') return node;
    const found = spelt.get(node) ?? spellLinear(node);
    spelt.set(node, found);
    return found;
  };
  const sorted = shared(sort([...inputs, ...outputs].map(plain), plain));
  const names = chooseNames(sorted.nodes, [...inputs, ...outputs].map(plain));
  const nameOf = (node: TfNode) => names.get(sorted.twinOf(plain(node))) ?? '';
  const nodes = sorted.nodes.map((node): NodeDef => {
    const sources = node.kind === 'operation' ? node.inputs.map(nameOf) : [];
    return { name: nameOf(node), op: operationOf(node), input: sources, attr: attributesOf(node) };
  });
  const constants = sorted.nodes.flatMap((node) =>
    node.kind === 'constant' ? [{ name: nameOf(node), node }] : [],
  );
  return { nodes, constants, nameOf };
}

/** Nodes after those that they read. Without recursion, since a graph may be deeper than a stack. */
function sort(ends: readonly PlainNode[], plain: (node: TfNode) => PlainNode): PlainNode[] {
  const sorted = new Set<PlainNode>();
  const stack = ends.toReversed().map((node) => ({ node, hasRead: false }));
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, hasRead } = next;
    if (sorted.has(node)) continue;
    if (hasRead || node.kind !== 'operation') {
      sorted.add(node);
      continue;
    }
    stack.push({ node, hasRead: true });
    for (const source of node.inputs.toReversed()) stack.push({ node: plain(source), hasRead: false });
  }
  return [...sorted];
}

/** Lets equal parameters (shapes, axes, bounds) be one node. */
function shared(nodes: readonly PlainNode[]): {
  readonly nodes: readonly PlainNode[];
  readonly twinOf: (node: PlainNode) => PlainNode;
} {
  const first = new Map<string, PlainNode>();
  const twinOf = (node: PlainNode): PlainNode => {
    if (node.kind !== 'constant' || node.role !== 'parameter') return node;
    const key = `${node.values.constructor.name} [${node.shape}] ${node.values}`;
    const twin = first.get(key) ?? node;
    first.set(key, twin);
    return twin;
  };
  return { nodes: nodes.filter((node) => twinOf(node) === node), twinOf };
}

/** Inputs and outputs choose first. */
function chooseNames(nodes: readonly PlainNode[], borders: readonly PlainNode[]): Map<PlainNode, string> {
  const names = new Map<PlainNode, string>();
  const taken = new Set<string>();
  for (const node of [...borders, ...nodes]) {
    if (names.has(node)) continue;
    const wish = safeName(node.name ?? operationOf(node));
    let name = wish;
    for (let copy = 2; taken.has(name); copy += 1) name = `${wish}_${copy}`;
    taken.add(name);
    names.set(node, name);
  }
  return names;
}

/**
 * A name that tfjs can look up: it reads `a:1` as the second output of `a`, `^a` as a control input, and keeps nodes in plain
 * objects, which have a `constructor` already.
 */
function safeName(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9_./-]/g, '_');
  return safe === '' || safe in {} ? `_${safe}` : safe;
}

function operationOf(node: PlainNode): string {
  if (node.kind === 'operation') return node.op;
  return node.kind === 'input' ? 'Placeholder' : 'Const';
}

function attributesOf(node: PlainNode): Readonly<Record<string, unknown>> {
  if (node.kind === 'input') {
    return { dtype: { type: 'DT_FLOAT' }, shape: { shape: dimensionsOf(node.shape) } };
  }
  if (node.kind === 'constant') {
    const dtype = node.values instanceof Float32Array ? 'DT_FLOAT' : 'DT_INT32';
    return { dtype: { type: dtype }, value: { tensor: { dtype, tensorShape: dimensionsOf(node.shape) } } };
  }
  return Object.fromEntries(
    Object.entries(node.attributes).map(([name, value]) => [name, attributeOf(value)]),
  );
}

/** An attribute as protobuf's JSON has it: 64-bit integers as text, bytes in base64. */
function attributeOf(attribute: TfAttribute): Readonly<Record<string, unknown>> {
  if ('i' in attribute) return { i: `${attribute.i}` };
  if ('s' in attribute) return { s: base64(attribute.s) };
  if ('list' in attribute) return { list: { i: attribute.list.map(String) } };
  if ('texts' in attribute) return { list: { s: attribute.texts.map(base64) } };
  return attribute;
}

/** A shape as GraphDef JSON has it. */
export function dimensionsOf(shape: readonly number[]): {
  readonly dim: readonly { readonly size: string }[];
} {
  return { dim: shape.map((size) => ({ size: `${size}` })) };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
