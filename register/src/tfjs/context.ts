import type { NodeProto } from '../onnx/generated/onnx_pb.ts';
import type { Scope } from '../onnx/scope.ts';
import { isKnown, printShape } from './dimension.ts';
import type { Layouts } from './layout.ts';
import { unsupported } from './unsupported.ts';
import { asComputed, type Computed, type Constant, type Value } from './value.ts';

/** What the conversion of a node may look at beside its inputs. */
export interface Context {
  readonly opset: number;
  readonly layouts: Layouts;
  /** Who reads each value. */
  readonly readers: Scope['uses'];
}

/** Inputs of a node; optional ones that are left out are undefined. */
export type Inputs = readonly (Value | undefined)[];

/** Converts one node of the ONNX graph: gives its outputs. Throws `MESH_UNSUPPORTED` where it cannot. */
export type Convert = (node: NodeProto, inputs: Inputs, context: Context) => readonly Value[];

/** A float input as a computed value. */
export function computedInput(inputs: Inputs, index: number): Computed {
  return asComputed(floatInput(inputs, index));
}

/** A float input, which has to be there. */
export function floatInput(inputs: Inputs, index: number): Constant | Computed {
  const value = inputs[index];
  if (value === undefined || value.kind === 'integers') {
    throw unsupported(`floats as input ${index}`, value === undefined ? 'nothing' : 'integers');
  }
  return value;
}

/** Constant weights. */
export function constantInput(inputs: Inputs, index: number): Constant {
  const value = optionalConstant(inputs, index);
  if (value === undefined) throw unsupported(`weights as input ${index}`, 'nothing');
  return value;
}

/** Constant weights, or undefined where the input is left out. */
export function optionalConstant(inputs: Inputs, index: number): Constant | undefined {
  const value = inputs[index];
  if (value === undefined || value.kind === 'constant') return value;
  throw unsupported(`input ${index} to be constant`, 'a value that is computed');
}

/** One constant number. */
export function optionalNumber(inputs: Inputs, index: number): number | undefined {
  const constant = optionalConstant(inputs, index);
  if (constant !== undefined && constant.values.length !== 1) {
    throw unsupported(`one number as input ${index}`, `${constant.values.length}`);
  }
  return constant?.values[0];
}

/** A list of integers that do not depend on a free axis. */
export function optionalIntegers(inputs: Inputs, index: number): number[] | undefined {
  const value = inputs[index];
  if (value === undefined) return undefined;
  if (value.kind !== 'integers') throw unsupported(`constant integers as input ${index}`, 'floats');
  if (!value.elements.every(isKnown)) {
    throw unsupported(`constant integers as input ${index}`, printShape(value.elements));
  }
  return value.elements.map(({ size }) => size);
}

/** Refuses a node that is asked for more than `count` outputs, say for the indices of a MaxPool. */
export function expectOutputs({ output }: NodeProto, count: number, { readers }: Context): void {
  const more = output.slice(count).filter((name) => (readers.get(name)?.length ?? 0) > 0);
  if (more.length > 0)
    throw unsupported(
      `${count === 1 ? 'one output' : `${count} outputs`} to be read`,
      `"${more[0]}" as well`,
    );
}
