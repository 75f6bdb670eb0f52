import { MeshError } from '@nearfar/protocol';
import type { Made } from '../made.ts';
import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  TensorProto_DataType,
  type ValueInfoProto,
} from '../onnx/generated/onnx_pb.ts';
import { isStandard } from '../onnx/nodes.ts';
import { type Scope, scopeOf } from '../onnx/scope.ts';
import { datatypeName } from '../onnx/tensor-data.ts';
import type { Context } from './context.ts';
import { type Dimension, known, sizeOrFree, unknown } from './dimension.ts';
import { inOrder } from './layout.ts';
import { nameOf, neededNodes, operatorOf, operatorsIn } from './onnx-graph.ts';
import { OPERATORS } from './operators.ts';
import { readConstant } from './read-constant.ts';
import { type InputNode, operation, type TfNode } from './tf-graph.ts';
import { unsupported } from './unsupported.ts';
import { type Computed, computed, naturalOrder, type Value } from './value.ts';
import { dimensionsOf, writeGraph } from './write-graph.ts';
import { type WeightFormat, writeWeights } from './write-weights.ts';

/** A tfjs graph model: `model.json`, and the weight files that it names. */
export interface TfjsModel {
  readonly modelJson: Uint8Array;
  readonly weights: readonly { readonly path: string; readonly bytes: Uint8Array }[];
}

/** How a tfjs model is written. */
export interface TfjsOptions {
  /** Default fp32. */
  readonly weights?: WeightFormat;
}

/** Operators did not broadcast before; no exporter in use writes them. */
const MIN_OPSET = 7;

/** Where the operators are listed. */
const MORE = 'docs/variants.md lists what is converted';

/** Most operators that a reason names. */
const MAX_NAMED_OPERATORS = 20;

/**
 * Makes a tfjs graph model of an fp32 ONNX model, or says why not: operators that are not in `OPERATORS`, one that is used in a
 * way that is not converted, or a shape that is not known.
 *
 * Inputs and outputs keep their names, shapes and layout; a free axis stays free. Inside, pictures are NHWC, which every tfjs
 * backend wants: an input of several channels is transposed once, transposes of the ONNX graph vanish where nothing needs them.
 * Equal models give equal bytes.
 */
export function makeTfjs(model: ModelProto, { weights = 'fp32' }: TfjsOptions = {}): Made<TfjsModel> {
  const { graph } = model;
  const opset = Number(model.opsetImport.find(isStandard)?.version ?? 0n);
  if (graph === undefined) return leftOut('there is no graph');
  if (opset < MIN_OPSET) return leftOut(`expected opset ${MIN_OPSET} or newer, found ${opset}`);
  const nodes = neededNodes(graph);
  const foreign = operatorsIn(nodes).filter((operator) => !OPERATORS.has(operator));
  if (foreign.length > 0) return leftOut(`operators that are not converted: ${countedNames(foreign)}`);
  try {
    return { kind: 'made', value: convert(graph, nodes, opset, weights) };
  } catch (error) {
    if (error instanceof MeshError) return leftOut(error.message);
    throw error;
  }
}

function leftOut(reason: string): Made<TfjsModel> {
  return { kind: 'left-out', reason: `${reason} (${MORE})` };
}

/** `LSTM × 2, If × 1`, the most frequent ones first. */
function countedNames(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const sorted = [...counts].toSorted(([a, first], [b, second]) => second - first || (a < b ? -1 : 1));
  const named = sorted.slice(0, MAX_NAMED_OPERATORS).map(([name, count]) => `${name} × ${count}`);
  const more = sorted.length - named.length;
  return more > 0 ? `${named.join(', ')} and ${more} more` : named.join(', ');
}

function convert(
  graph: GraphProto,
  nodes: readonly NodeProto[],
  opset: number,
  format: WeightFormat,
): TfjsModel {
  const scope = scopeOf(graph);
  const inputs = graph.input
    .filter(({ name }) => !scope.constants.has(name))
    .map((info) => within(`input "${info.name}"`, () => readInput(info)));
  const values = new Map<string, Value>(inputs.map(({ node, value }) => [node.name, value]));
  const context: Context = {
    opset,
    readers: scope.uses,
    layouts: { orders: new WeakMap(), reshapes: new WeakMap() },
  };
  for (const node of nodes) {
    if (node.opType === 'Constant') continue;
    within(`${operatorOf(node)} "${nameOf(node)}"`, () => convertNode(node, values, scope, context));
  }
  const outputs = outputNodes(graph, values, scope, context);
  return write(
    inputs.map(({ node }) => node),
    outputs,
    format,
  );
}

/** A model input: fp32, of a known rank. */
function readInput({ name, type }: ValueInfoProto): { readonly node: InputNode; readonly value: Computed } {
  const tensor = type?.value.case === 'tensorType' ? type.value.value : undefined;
  const dimensions = tensor?.shape?.dim;
  if (tensor?.elemType !== TensorProto_DataType.FLOAT) {
    throw unsupported('FLOAT', datatypeName(tensor?.elemType ?? 0));
  }
  if (dimensions === undefined) throw unsupported('a shape', 'none');
  const shape = dimensions.map(({ value }, axis): Dimension => {
    if (value.case === 'dimValue' && value.value > 0n) return known(Number(value.value));
    return unknown(value.case === 'dimParam' && value.value !== '' ? value.value : `${name}/${axis}`);
  });
  const node: InputNode = { kind: 'input', name, shape: shape.map(sizeOrFree) };
  return { node, value: computed(node, shape) };
}

function convertNode(node: NodeProto, values: Map<string, Value>, scope: Scope, context: Context): void {
  const inputs = node.input.map((name) => (name === '' ? undefined : valueNamed(name, values, scope)));
  const outputs = OPERATORS.get(operatorOf(node))?.convert(node, inputs, context) ?? [];
  for (const [index, name] of node.output.entries()) {
    const value = outputs[index];
    if (value !== undefined && name !== '') values.set(name, defined(value, name, scope));
  }
}

/** Puts what is converted before the reason why it cannot be. */
function within<Result>(what: string, run: () => Result): Result {
  try {
    return run();
  } catch (cause) {
    if (!(cause instanceof MeshError)) throw cause;
    throw new MeshError('MESH_UNSUPPORTED', `${what}: ${cause.message}`, { cause });
  }
}

function valueNamed(name: string, values: ReadonlyMap<string, Value>, scope: Scope): Value {
  const tensor = scope.constants.get(name);
  const value = values.get(name) ?? (tensor === undefined ? undefined : readConstant(tensor));
  if (value === undefined) throw unsupported('inputs that are there', `nothing that gives "${name}"`);
  return value;
}

/** A value under its ONNX name, which its node takes on. */
function defined(value: Value, name: string, scope: Scope): Value {
  if (value.kind !== 'computed') return value;
  if (value.storage.kind === 'node' && value.storage.node.kind !== 'input') value.storage.node.name = name;
  return { ...value, isExclusive: value.isExclusive && (scope.uses.get(name)?.length ?? 0) === 1 };
}

interface Output {
  readonly name: string;
  readonly node: TfNode;
  readonly shape: readonly number[];
}

/** The outputs in ONNX's order of axes, each with a node of its own that bears its name. */
function outputNodes(
  { output }: GraphProto,
  values: ReadonlyMap<string, Value>,
  scope: Scope,
  { layouts }: Context,
): Output[] {
  const taken = new Set<TfNode>();
  const outputNode = (name: string): Output => {
    const value = valueNamed(name, values, scope);
    if (value.kind !== 'computed') throw unsupported('floats that are computed', 'constants');
    const found = inOrder(value, naturalOrder(value.shape.length), layouts);
    const node = found.kind === 'input' || taken.has(found) ? operation('Identity', [found]) : found;
    taken.add(node);
    node.name = name;
    return { name, node, shape: value.shape.map(sizeOrFree) };
  };
  return output.map(({ name }) => within(`output "${name}"`, () => outputNode(name)));
}

const WEIGHTS_FILE = 'weights.bin';

function write(inputs: readonly InputNode[], outputs: readonly Output[], format: WeightFormat): TfjsModel {
  const graph = writeGraph(
    inputs,
    outputs.map(({ node }) => node),
  );
  const { entries, bytes } = writeWeights(graph.constants, format);
  const signature = (name: string, node: TfNode, shape: readonly number[]) =>
    [name, { name: `${graph.nameOf(node)}:0`, dtype: 'DT_FLOAT', tensorShape: dimensionsOf(shape) }] as const;
  const model = {
    format: 'graph-model',
    generatedBy: 'nearfar',
    convertedBy: null,
    signature: {
      inputs: Object.fromEntries(inputs.map((node) => signature(node.name, node, node.shape))),
      outputs: Object.fromEntries(outputs.map(({ name, node, shape }) => signature(name, node, shape))),
    },
    modelTopology: { node: graph.nodes, library: {}, versions: { producer: 1 } },
    weightsManifest: [{ paths: [WEIGHTS_FILE], weights: entries }],
  };
  return {
    modelJson: new TextEncoder().encode(JSON.stringify(model)),
    weights: [{ path: WEIGHTS_FILE, bytes }],
  };
}
