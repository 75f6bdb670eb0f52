/** Side of the two square matrices that the probe multiplies. */
export const PROBE_SIDE = 512;

/*
 * A 512 x 512 matrix product is big enough that a real GPU wins in spite of copying the operands to it and back,
 * and small enough that a software adapter (SwiftShader: about 100 times slower than the CPU) fails within seconds.
 */

/** The bytes of an ONNX model with one node, `y = MatMul(a, b)`, written by hand so that no file is needed. */
export function probeModel(): Uint8Array<ArrayBuffer> {
  const node = message([text(1, 'a'), text(1, 'b'), text(2, 'y'), text(4, 'MatMul')]);
  const graph = message([
    nested(1, node),
    text(2, 'probe'),
    nested(11, valueInfo('a')),
    nested(11, valueInfo('b')),
    nested(12, valueInfo('y')),
  ]);
  const operatorSet = message([text(1, ''), integer(2, 13)]);
  return Uint8Array.from(message([integer(1, 8), nested(7, graph), nested(8, operatorSet)]));
}

/** `ValueInfoProto` of an FP32 matrix (`elem_type` 1). */
function valueInfo(name: string): number[] {
  const dimension = message([integer(1, PROBE_SIDE)]);
  const shape = message([nested(1, dimension), nested(1, dimension)]);
  const tensorType = message([integer(1, 1), nested(2, shape)]);
  return message([text(1, name), nested(2, message([nested(1, tensorType)]))]);
}

// Protocol Buffers encoding: a key (field number and wire type), then a varint or length-delimited bytes.
// https://protobuf.dev/programming-guides/encoding/

function message(fields: readonly number[][]): number[] {
  return fields.flat();
}

function integer(field: number, value: number): number[] {
  return [field << 3, ...varint(value)];
}

function nested(field: number, bytes: readonly number[]): number[] {
  return [(field << 3) | 2, ...varint(bytes.length), ...bytes];
}

function text(field: number, value: string): number[] {
  return nested(field, [...new TextEncoder().encode(value)]);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}
