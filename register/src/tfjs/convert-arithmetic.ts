import { elementwise, expanded, foldConstants, permuted } from './broadcast.ts';
import { type Context, type Convert, floatInput, type Inputs } from './context.ts';
import { type Dimension, isKnown, product, quotient } from './dimension.ts';
import { channelsOf, type LinearNode, operation, scaleChannels, shiftChannels } from './tf-graph.ts';
import { unsupported } from './unsupported.ts';
import { type Computed, type Constant, computed, type Integers, linearBehind, type Value } from './value.ts';

interface Arithmetic {
  readonly op: string;
  readonly combine: (a: number, b: number) => number;
  /** The same on shapes; undefined where that is not known before the model runs. */
  readonly combineSizes?: (a: Dimension, b: Dimension) => Dimension | undefined;
}

const ADD: Arithmetic = { op: 'AddV2', combine: (a, b) => a + b, combineSizes: ofKnown((a, b) => a + b) };
const SUB: Arithmetic = { op: 'Sub', combine: (a, b) => a - b, combineSizes: ofKnown((a, b) => a - b) };
const MUL: Arithmetic = { op: 'Mul', combine: (a, b) => a * b, combineSizes: (a, b) => product([a, b]) };
const DIV: Arithmetic = { op: 'RealDiv', combine: (a, b) => a / b, combineSizes: quotient };
const POW: Arithmetic = { op: 'Pow', combine: (a, b) => a ** b };
const MIN: Arithmetic = { op: 'Minimum', combine: Math.min };
const MAX: Arithmetic = { op: 'Maximum', combine: Math.max };

function ofKnown(combine: (a: number, b: number) => number): NonNullable<Arithmetic['combineSizes']> {
  return (a, b) => (isKnown(a) && isKnown(b) ? { size: combine(a.size, b.size), free: [] } : undefined);
}

/** a + b, with what ONNX broadcasts. */
export const convertAdd: Convert = (_, inputs, context) => [combine(ADD, pair(inputs), context)];
/** a − b, with what ONNX broadcasts. */
export const convertSub: Convert = (_, inputs, context) => [combine(SUB, pair(inputs), context)];
/** a b, with what ONNX broadcasts. */
export const convertMul: Convert = (_, inputs, context) => [combine(MUL, pair(inputs), context)];
/** a / b, with what ONNX broadcasts. */
export const convertDiv: Convert = (_, inputs, context) => [combine(DIV, pair(inputs), context)];
/** The sum of all inputs. */
export const convertSum: Convert = (_, inputs, context) => [chain(ADD, inputs, context)];
/** The smallest of all inputs, element by element. */
export const convertMin: Convert = (_, inputs, context) => [chain(MIN, inputs, context)];
/** The largest of all inputs, element by element. */
export const convertMax: Convert = (_, inputs, context) => [chain(MAX, inputs, context)];

/** a to the power of b. */
export const convertPow: Convert = (_, inputs, context) => {
  const [base, exponent] = pair(inputs);
  if (base.kind === 'computed' && exponent.kind === 'constant' && exponent.values.length === 1) {
    const short = { 2: 'Square', 0.5: 'Sqrt' }[exponent.values[0] ?? 0];
    if (short !== undefined && exponent.shape.length <= base.shape.length) {
      return [mapped(short, base, context)];
    }
  }
  return [combine(POW, [base, exponent], context)];
};

/** `value × factors + summands` with one of each for an axis-1 channel, folded into what gives `value` where that can be. */
export function scaleAndShift(
  value: Computed,
  factors: Float32Array,
  summands: Float32Array,
  context: Context,
): Computed {
  const shape = [factors.length, ...value.shape.slice(2).map(() => 1)];
  const scaled = combineFloats(MUL, value, { kind: 'constant', shape, values: factors }, context);
  return combineFloats(ADD, scaled, { kind: 'constant', shape, values: summands }, context) as Computed;
}

/** a + b. */
export function add(a: Computed, b: Constant | Computed, context: Context): Computed {
  return combineFloats(ADD, a, b, context) as Computed;
}

/** `factor × value`. */
export function multiply(value: Computed, factor: number, context: Context): Computed {
  if (factor === 1) return value;
  return combineFloats(
    MUL,
    value,
    { kind: 'constant', shape: [], values: Float32Array.of(factor) },
    context,
  ) as Computed;
}

/** An operation on each element by itself. Where memory waits for a reshape, it goes on waiting. */
export function mapped(op: string, value: Computed, context: Context): Computed {
  const { storage } = value;
  if (storage.kind === 'reshape') {
    return { ...value, storage: { kind: 'reshape', source: mapped(op, storage.source, context) } };
  }
  return computed(operation(op, [storage.node]), value.shape, storage.order);
}

function pair(inputs: Inputs): [Value, Value] {
  const [a, b] = inputs;
  if (a === undefined || b === undefined) throw unsupported('two operands', 'one');
  return [a, b];
}

function chain(rule: Arithmetic, inputs: Inputs, context: Context): Value {
  const values = inputs.map((_, index): Value => floatInput(inputs, index));
  return values.reduce((a, b) => combine(rule, [a, b], context));
}

function combine(rule: Arithmetic, [a, b]: readonly [Value, Value], context: Context): Value {
  if (a.kind === 'integers' && b.kind === 'integers') return combineIntegers(rule, a, b);
  if (a.kind === 'integers' || b.kind === 'integers') {
    throw unsupported('two operands of one type', 'integers and floats');
  }
  return combineFloats(rule, a, b, context);
}

function combineFloats(
  rule: Arithmetic,
  a: Constant | Computed,
  b: Constant | Computed,
  context: Context,
): Constant | Computed {
  if (a.kind === 'constant' && b.kind === 'constant') return foldConstants(a, b, rule.combine);
  return (
    (b.kind === 'constant' && a.kind === 'computed' && absorbed(rule, a, b, false)) ||
    (a.kind === 'constant' && b.kind === 'computed' && absorbed(rule, b, a, true)) ||
    elementwise(rule.op, a, b, context.layouts)
  );
}

/**
 * Folds a factor or summand for each output channel into the convolution or product that gives `value`:
 * (W x + b) f + s = (f W) x + (f b + s). `isFirst` = the constant is the left operand. Undefined where nothing can be folded.
 */
function absorbed(
  { op }: Arithmetic,
  value: Computed,
  constant: Constant,
  isFirst: boolean,
): Computed | undefined {
  const linear = linearBehind(value);
  if (linear === undefined || linear.node.activation !== undefined) return undefined;
  const { node, order } = linear;
  const perChannel = channelValues(constant, order, channelsOf(node));
  if (perChannel === undefined) return undefined;
  if (!absorb(node, op, perChannel, isFirst)) return undefined;
  return value;
}

/** The elements of a constant that differs at most from channel to channel, the axis that comes last in memory. */
function channelValues(
  constant: Constant,
  order: readonly number[],
  channels: number,
): Float32Array | undefined {
  if (constant.shape.length > order.length) return undefined;
  const shape = [...Array.from({ length: order.length - constant.shape.length }, () => 1), ...constant.shape];
  const moved = permuted({ ...constant, shape }, order);
  const isSuitable = moved.shape.every(
    (size, place) => size === 1 || (place === order.length - 1 && size === channels),
  );
  return isSuitable ? expanded({ ...moved, shape: [moved.values.length] }, [channels]) : undefined;
}

function absorb(node: LinearNode, op: string, values: Float32Array, isFirst: boolean): boolean {
  const minus = (numbers: Float32Array) => numbers.map((value) => -value);
  if (op === 'AddV2') shiftChannels(node, values);
  else if (op === 'Mul') scaleChannels(node, values);
  else if (op === 'RealDiv' && !isFirst)
    scaleChannels(
      node,
      values.map((value) => 1 / value),
    );
  else if (op === 'Sub' && !isFirst) shiftChannels(node, minus(values));
  else if (op === 'Sub') {
    scaleChannels(
      node,
      values.map(() => -1),
    );
    shiftChannels(node, values);
  } else return false;
  return true;
}

function combineIntegers({ op, combineSizes }: Arithmetic, a: Integers, b: Integers): Integers {
  if (combineSizes === undefined) throw unsupported('floats', 'integers');
  const [longer, shorter] = a.elements.length >= b.elements.length ? [a, b] : [b, a];
  if (shorter.elements.length !== 1 && shorter.elements.length !== longer.elements.length) {
    throw unsupported('integers that can be broadcast', `${a.elements.length} and ${b.elements.length}`);
  }
  const at = ({ elements }: Integers, index: number) =>
    elements[elements.length === 1 ? 0 : index] as Dimension;
  const elements = longer.elements.map((_, index) => {
    const result = combineSizes(at(a, index), at(b, index));
    if (result === undefined) throw unsupported('sizes that are known or cancel out', `${op} of free ones`);
    return result;
  });
  return { kind: 'integers', shape: longer.shape, elements };
}
