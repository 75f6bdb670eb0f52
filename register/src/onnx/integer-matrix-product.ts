import type { NodeProto } from './generated/onnx_pb.ts';
import type { IntegerParts } from './integer-parts.ts';
import { floatAttribute, intAttribute } from './nodes.ts';
import { floatConstantOf, type Scope } from './scope.ts';
import { readFloats, shapeOf } from './tensor-data.ts';

/** Below these a product takes no longer in fp32 (1 × 256 × 128: 0.006 ms either way; figures at `makeInt8Dynamic`). */
const MIN_SIDE = 32;
const MIN_WEIGHTS = 32_768;

/** A `MatMul` or `Gemm` with constant second operand, in integers; undefined when it is small or of another form. */
export function integerMatrixProduct(
  node: NodeProto,
  scope: Scope,
  parts: IntegerParts,
): readonly NodeProto[] | undefined {
  const [a = '', b = '', c = ''] = node.input;
  const tensor = floatConstantOf(scope, b);
  if (tensor === undefined || tensor.dims.length !== 2 || floatConstantOf(scope, a) !== undefined)
    return undefined;
  const isGemm = node.opType === 'Gemm';
  const isTransposed = isGemm && intAttribute(node, 'transB', 0) !== 0;
  if (isGemm && !isPlainGemm(node)) return undefined;

  const shape = shapeOf(tensor);
  const [inputs = 0, outputs = 0] = isTransposed ? shape.toReversed() : shape;
  if (Math.min(inputs, outputs) < MIN_SIDE || inputs * outputs < MIN_WEIGHTS) return undefined;
  const values = readFloats(tensor) ?? new Float32Array();
  const arranged = isTransposed ? transposed(values, outputs, inputs) : values;
  const weights = parts.quantiseWeights(b, arranged, inputs, outputs);
  if (weights === undefined) return undefined;
  const input = parts.quantiseInput(a);
  const bias = isGemm && c !== '' ? c : undefined;
  const output = node.output[0] ?? '';
  return [...input.nodes, ...parts.product({ rows: input.integers, input, weights, bias, output })];
}

function isPlainGemm(node: NodeProto): boolean {
  const hasBias = (node.input[2] ?? '') !== '';
  return (
    intAttribute(node, 'transA', 0) === 0 &&
    floatAttribute(node, 'alpha', 1) === 1 &&
    (!hasBias || floatAttribute(node, 'beta', 1) === 1)
  );
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      result[column * rows + row] = values[row * columns + column] ?? 0;
    }
  }
  return result;
}
