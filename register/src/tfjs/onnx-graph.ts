import type { GraphProto, NodeProto } from '../onnx/generated/onnx_pb.ts';
import { isStandard, subgraphsOf } from '../onnx/nodes.ts';

/** The nodes that the outputs of a graph need, in the order of the file, which ONNX wants to be one in which they can run. */
export function neededNodes({ node: nodes, output }: GraphProto): NodeProto[] {
  const needed = new Set(output.map(({ name }) => name));
  const found: NodeProto[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.output.some((name) => name !== '' && needed.has(name))) continue;
    for (const name of readBy(node)) needed.add(name);
    found.push(node);
  }
  return found.reverse();
}

/** What a node reads, the graphs inside of it included: they see the values around them. */
function readBy(node: NodeProto): string[] {
  const inside = subgraphsOf(node).flatMap((graph) => [
    ...graph.node.flatMap(readBy),
    ...graph.output.map(({ name }) => name),
  ]);
  return [...node.input, ...inside];
}

/** The operator, with its domain before it where that is not ONNX's own: `com.microsoft.FusedConv`. */
export function operatorOf(node: NodeProto): string {
  return isStandard(node) ? node.opType : `${node.domain}.${node.opType}`;
}

/** The operators of the nodes and of the graphs inside of them (`If`, `Loop`), one entry a use. */
export function operatorsIn(nodes: readonly NodeProto[]): string[] {
  return nodes.flatMap((node) => [
    operatorOf(node),
    ...subgraphsOf(node).flatMap((graph) => operatorsIn(graph.node)),
  ]);
}

/** A node's name or, since that is optional, the name of what it gives. */
export function nameOf(node: NodeProto): string {
  return node.name === '' ? (node.output.find((name) => name !== '') ?? '') : node.name;
}
