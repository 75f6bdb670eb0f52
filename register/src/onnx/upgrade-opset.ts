import type { Made } from '../made.ts';
import { type ElementTypes, elementTypesOf } from './element-types.ts';
import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataType,
} from './generated/onnx_pb.ts';
import { withFields } from './message.ts';
import { isStandard } from './nodes.ts';
import { opsetOf, rewriteGraphs } from './rewrite.ts';
import { constantOf, createNames, scopeOf } from './scope.ts';
import { UNCHANGED, UPGRADES, type UpgradeParts } from './upgrade-rules.ts';

/** Older operators broadcast by attributes and name types by text. */
const OLDEST = 7;

/**
 * The model in a newer version of ONNX's own operators, 8 to 13, meaning the same: operators whose meaning did not change stay as
 * they are, others are rewritten (`upgrade-rules.ts`). A model that has the version already, or a newer one, is given back.
 *
 * Left out, with the operator named, when one is not known to mean the same.
 */
export function upgradeOpset(model: ModelProto, target: number): Made<ModelProto> {
  const opset = opsetOf(model);
  if (opset >= target) return { kind: 'made', value: model };
  const leftOut = (problem: string): Made<ModelProto> => ({
    kind: 'left-out',
    reason: `needs opset ${target}, the model has ${opset} and cannot be upgraded: ${problem}`,
  });
  if (opset < OLDEST) return leftOut(`opsets before ${OLDEST} are not known here`);
  if (model.functions.length > 0) return leftOut('it has functions of its own');

  const freshName = createNames(model);
  const types = model.graph === undefined ? undefined : typesByGraph(model.graph);
  let problem: string | undefined;
  const rewritten = rewriteGraphs(model, (scope) => {
    const tensors = new Map<string, TensorProto>();
    const parts: UpgradeParts = {
      freshName,
      constantOf: (name) => tensors.get(name) ?? constantOf(scope, name),
      isFloat: (name) => types?.get(scope.graph)?.of(name) === TensorProto_DataType.FLOAT,
      isUsed: (name) => name !== '' && scope.uses.has(name),
      add: (tensor) => {
        tensors.set(tensor.name, tensor);
        return tensor.name;
      },
    };
    const upgrade = (node: NodeProto): readonly NodeProto[] => {
      const upgraded = isStandard(node) ? upgradeNode(node, opset, target, parts) : [node];
      if (typeof upgraded !== 'string') return upgraded;
      problem ??= upgraded;
      return [node];
    };
    const node = scope.graph.node.flatMap(upgrade);
    return withFields(scope.graph, { node, initializer: [...scope.graph.initializer, ...tensors.values()] });
  });
  if (problem !== undefined) return leftOut(problem);

  const opsetImport = rewritten.opsetImport.map((entry) =>
    isStandard(entry) ? withFields(entry, { version: BigInt(target) }) : entry,
  );
  // The file's form that came with the opset (ONNX's `docs/Versioning.md`): 6 with 11, 7 with 12 and 13.
  const least = target < 11 ? 4n : target === 11 ? 6n : 7n;
  const irVersion = rewritten.irVersion < least ? least : rewritten.irVersion;
  return { kind: 'made', value: withFields(rewritten, { opsetImport, irVersion }) };
}

/** Applies what each version brought, one after another; a text says why that cannot be done. */
function upgradeNode(
  node: NodeProto,
  from: number,
  to: number,
  parts: UpgradeParts,
): readonly NodeProto[] | string {
  let nodes: readonly NodeProto[] = [node];
  for (let version = from + 1; version <= to; version += 1) {
    const next: NodeProto[] = [];
    for (const entry of nodes) {
      const rule = UPGRADES[entry.opType]?.[version];
      if (rule === undefined && UPGRADES[entry.opType] === undefined && !UNCHANGED.has(entry.opType)) {
        return `operator ${entry.opType} ("${node.output[0] ?? ''}") is not known to mean the same`;
      }
      const upgraded = rule === undefined ? [entry] : rule(entry, parts);
      if (typeof upgraded === 'string') return `${entry.opType} ("${node.output[0] ?? ''}") ${upgraded}`;
      next.push(...upgraded);
    }
    nodes = next;
  }
  return nodes;
}

/** The element types of each graph, the outermost and those inside. */
function typesByGraph(graph: GraphProto): ReadonlyMap<GraphProto, ElementTypes> {
  const all = new Map<GraphProto, ElementTypes>();
  const add = (of: GraphProto, types: ElementTypes) => {
    all.set(of, types);
    for (const [inner, innerTypes] of types.inner) add(inner, innerTypes);
  };
  add(graph, elementTypesOf(scopeOf(graph)));
  return all;
}
