import { MeshError } from '@nearfar/protocol';
import type { GraphProto, ModelProto } from './generated/onnx_pb.ts';
import { withFields } from './message.ts';
import { isStandard, subgraphsOf } from './nodes.ts';
import { constantOf, type Scope, scopeOf } from './scope.ts';
import { checkTensorSize, isReadable, readFloats } from './tensor-data.ts';
import { tensorsOf } from './tensors.ts';

/**
 * Checks what the runtimes take for granted or tell of in words of their own: the model says its opset, has outputs, every
 * name that a node reads exists, tensors have as many bytes as their shape needs, and weights are finite.
 *
 * NaN is refused everywhere, infinities where a node multiplies by them: as bounds and in masks they are right.
 *
 * @throws MeshError `MESH_BAD_MODEL`, naming the first thing that is wrong.
 */
export function checkModel(model: ModelProto): void {
  const { graph } = model;
  if (graph === undefined) throw bad('expected a graph, found none');
  if (graph.node.some(isStandard) && !model.opsetImport.some(isStandard)) {
    const found = model.opsetImport.map(({ domain }) => `"${domain}"`).join(', ') || 'none';
    throw bad(`expected "opset_import" to say the version of ONNX's own operators, found ${found}`);
  }
  const initialisers = new Set(graph.initializer.map(({ name }) => name));
  if (graph.input.every(({ name }) => initialisers.has(name))) throw bad('expected an input, found none');
  if (graph.output.length === 0) throw bad('expected an output, found none');
  checkNames(graph, new Set());
  for (const { tensor, label } of tensorsOf(model)) checkTensor(tensor, label);
  checkFactors(scopeOf(graph));
}

/** Every name that is read is defined in the graph or around it. */
function checkNames(graph: GraphProto, outer: ReadonlySet<string>): void {
  const known = new Set(outer);
  for (const { name } of [...graph.input, ...graph.initializer]) known.add(name);
  for (const { values } of graph.sparseInitializer) known.add(values?.name ?? '');
  for (const { output } of graph.node) for (const name of output) known.add(name);
  for (const { input, opType, output } of graph.node) {
    const missing = input.find((entry) => entry !== '' && !known.has(entry));
    if (missing !== undefined)
      throw bad(
        `expected ${opType} "${output[0] ?? ''}" to read something known, found "${missing}", which nothing gives`,
      );
  }
  const missing = graph.output.find(({ name }) => !known.has(name));
  if (missing !== undefined)
    throw bad(`expected output "${missing.name}" to be given by a node, found none that does`);
  for (const node of graph.node) for (const subgraph of subgraphsOf(node)) checkNames(subgraph, known);
}

function checkTensor(tensor: Parameters<typeof checkTensorSize>[0], label: string): void {
  checkTensorSize(tensor, label);
  const values = isReadable(tensor.dataType) ? readFloats(tensor) : undefined;
  if (values === undefined) return;
  const count = values.reduce((total, value) => total + (Number.isNaN(value) ? 1 : 0), 0);
  if (count > 0) throw bad(`${label}: expected numbers, found NaN in ${count} of ${values.length} elements`);
}

/** Inputs by which an operator multiplies, or normalises. */
const FACTORS: Readonly<Record<string, readonly number[]>> = {
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  Gemm: [0, 1, 2],
  MatMul: [0, 1],
  LSTM: [1, 2, 3],
  GRU: [1, 2, 3],
  RNN: [1, 2, 3],
  BatchNormalization: [1, 2, 3, 4],
  InstanceNormalization: [1, 2],
  LayerNormalization: [1, 2],
  PRelu: [1],
};

function checkFactors(scope: Scope): void {
  for (const node of scope.graph.node) {
    if (!isStandard(node)) continue;
    for (const index of FACTORS[node.opType] ?? []) {
      const name = node.input[index] ?? '';
      const tensor = constantOf(scope, name);
      if (tensor === undefined || !isReadable(tensor.dataType)) continue;
      const values = readFloats(withFields(tensor, { name }));
      const count = values?.reduce((total, value) => total + (Number.isFinite(value) ? 0 : 1), 0) ?? 0;
      if (count > 0) {
        throw bad(
          `initialiser "${name}": expected finite weights for ${node.opType}, found ${count} of ${values?.length} infinite`,
        );
      }
    }
  }
  for (const inner of scope.inner.values()) checkFactors(inner);
}

function bad(problem: string): MeshError {
  return new MeshError('MESH_BAD_MODEL', problem);
}
