import { type TensorProto, TensorProto_DataType } from '../onnx/generated/onnx_pb.ts';
import { datatypeName, readFloats, readIntegers, shapeOf } from '../onnx/tensor-data.ts';
import { known } from './dimension.ts';
import { unsupported } from './unsupported.ts';
import type { Constant, Integers } from './value.ts';

/** A tensor of the file: fp32 numbers, or integers of any kind. */
export function readConstant(tensor: TensorProto): Constant | Integers {
  const shape = shapeOf(tensor);
  const numbers = readIntegers(tensor);
  if (numbers !== undefined) return { kind: 'integers', shape, elements: numbers.map(known) };
  const values = tensor.dataType === TensorProto_DataType.FLOAT ? readFloats(tensor) : undefined;
  if (values === undefined) throw unsupported('fp32 numbers', datatypeName(tensor.dataType));
  return { kind: 'constant', shape, values };
}
