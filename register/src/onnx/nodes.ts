import { create } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
} from './generated/onnx_pb.ts';

const { FLOAT, INT, STRING, TENSOR, INTS } = AttributeProto_AttributeType;

/** Whether a node is of one of ONNX's own operators, which are found in the domain "" (also written "ai.onnx"). */
export function isStandard({ domain }: Pick<NodeProto, 'domain'>): boolean {
  return domain === '' || domain === 'ai.onnx';
}

/** The attribute of that name. */
export function attributeOf(node: NodeProto, name: string): AttributeProto | undefined {
  return node.attribute.find((attribute) => attribute.name === name);
}

/** The integer of that name, or `fallback` where the node has none. */
export function intAttribute(node: NodeProto, name: string, fallback: number): number {
  const attribute = attributeOf(node, name);
  return attribute === undefined ? fallback : Number(attribute.i);
}

/** The list of integers of that name. Numbers beyond 2^53 lose their last bits. */
export function intsAttribute(node: NodeProto, name: string): number[] | undefined {
  return attributeOf(node, name)?.ints.map(Number);
}

/** The floating-point number of that name, or `fallback` where the node has none. */
export function floatAttribute(node: NodeProto, name: string, fallback: number): number {
  return attributeOf(node, name)?.f ?? fallback;
}

/** The text of that name, or `fallback` where the node has none. */
export function stringAttribute(node: NodeProto, name: string, fallback: string): string {
  const attribute = attributeOf(node, name);
  return attribute === undefined ? fallback : new TextDecoder().decode(attribute.s);
}

/** The graphs that a node runs: branches of `If`, bodies of `Loop` and `Scan`. */
export function subgraphsOf(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

/** Attributes of a node that is made here; a whole number is an integer attribute, `{ float }` a floating-point one. */
export type MadeAttributes = Readonly<
  Record<string, number | string | readonly number[] | TensorProto | { readonly float: number }>
>;

/** A node of ONNX's own operators. It has no name of its own: that is optional, and made names would only repeat the outputs'. */
export function makeNode(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes: MadeAttributes = {},
): NodeProto {
  return create(NodeProtoSchema, {
    opType,
    input: [...input],
    output: [...output],
    attribute: Object.entries(attributes).map(([name, value]) => makeAttribute(name, value)),
  });
}

/** An attribute of the kind that its value has. */
export function makeAttribute(name: string, value: MadeAttributes[string]): AttributeProto {
  if (typeof value === 'number') return create(AttributeProtoSchema, { name, type: INT, i: BigInt(value) });
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, { name, type: STRING, s: new TextEncoder().encode(value) });
  }
  if ('float' in value) return create(AttributeProtoSchema, { name, type: FLOAT, f: value.float });
  if ('dataType' in value) return create(AttributeProtoSchema, { name, type: TENSOR, t: value });
  return create(AttributeProtoSchema, { name, type: INTS, ints: value.map(BigInt) });
}
