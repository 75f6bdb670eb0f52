import type { GraphProto, ModelProto, NodeProto } from './generated/onnx_pb.ts';
import { withFields } from './message.ts';
import { isStandard } from './nodes.ts';
import { type Scope, scopeOf } from './scope.ts';

/** The first version of the file's form in which an initialiser need not be a graph input too (`onnx.proto`, IR version 4). */
const FIRST_WITH_PLAIN_INITIALISERS = 4n;

/**
 * The model with every graph replaced by what `rewrite` makes of it, from the outside in: `rewrite` gets the graph as it
 * was, and its nodes' graphs are rewritten afterwards. The input is not changed.
 */
export function rewriteGraphs(model: ModelProto, rewrite: (scope: Scope) => GraphProto): ModelProto {
  if (model.graph === undefined) return model;
  const visit = (scope: Scope): GraphProto => {
    const graph = rewrite(scope);
    // Graphs of nodes that were just made are not known to the scope, and stay as they are.
    const replace = (inside: GraphProto) => {
      const inner = scope.inner.get(inside);
      return inner === undefined ? inside : visit(inner);
    };
    return withFields(graph, { node: graph.node.map((node) => withInnerGraphs(node, replace)) });
  };
  return withPlainInitialisers(withFields(model, { graph: visit(scopeOf(model.graph)) }));
}

/** A node whose graphs were replaced; the node itself when it has none. */
export function withInnerGraphs(node: NodeProto, replace: (graph: GraphProto) => GraphProto): NodeProto {
  if (node.attribute.every(({ g, graphs }) => g === undefined && graphs.length === 0)) return node;
  return withFields(node, {
    attribute: node.attribute.map((attribute) =>
      withFields(attribute, {
        ...(attribute.g === undefined ? {} : { g: replace(attribute.g) }),
        graphs: attribute.graphs.map(replace),
      }),
    ),
  });
}

/**
 * The model with initialisers that are no graph inputs. Old versions list them as inputs too; runtimes take those for defaults
 * that a caller may override, and so compute nothing from them ahead of time.
 */
function withPlainInitialisers(model: ModelProto): ModelProto {
  const { graph } = model;
  if (graph === undefined) return model;
  const names = new Set(graph.initializer.map(({ name }) => name));
  const input = graph.input.filter(({ name }) => !names.has(name));
  const irVersion =
    model.irVersion < FIRST_WITH_PLAIN_INITIALISERS ? FIRST_WITH_PLAIN_INITIALISERS : model.irVersion;
  return withFields(model, { irVersion, graph: withFields(graph, { input }) });
}

/** The model without initialisers that nothing reads, as folding and rewriting leave behind. */
export function withoutUnusedInitialisers(model: ModelProto): ModelProto {
  return rewriteGraphs(model, ({ graph, uses }) =>
    withFields(graph, {
      initializer: graph.initializer.filter(({ name }) => uses.has(name)),
      node: graph.node.filter(
        (node) => node.opType !== 'Constant' || !isStandard(node) || uses.has(node.output[0] ?? ''),
      ),
    }),
  );
}

/**
 * The model without what no runtime needs: names and comments of nodes, and `Constant` nodes, which become initialisers. In
 * graphs of many small nodes those are a good part of what is left once the weights are small.
 */
export function withoutAsides(model: ModelProto): ModelProto {
  return rewriteGraphs(model, ({ graph, constants }) => {
    const isInitialiser = new Set(graph.initializer.map(({ name }) => name));
    const moved = [...constants].filter(([name]) => !isInitialiser.has(name));
    const movedNames = new Set(moved.map(([name]) => name));
    const isMoved = ({ opType, output }: NodeProto) =>
      opType === 'Constant' && movedNames.has(output[0] ?? '');
    return withFields(graph, {
      docString: '',
      initializer: [
        ...graph.initializer,
        ...moved.map(([name, tensor]) => withFields(tensor, { name, docString: '' })),
      ],
      node: graph.node
        .filter((node) => !isMoved(node))
        .map((node) => withFields(node, { name: '', docString: '', metadataProps: [] })),
    });
  });
}

/** The version of ONNX's own operators that the model is written in, 0 when it names none. */
export function opsetOf(model: ModelProto): number {
  return Number(model.opsetImport.find(isStandard)?.version ?? 0n);
}
