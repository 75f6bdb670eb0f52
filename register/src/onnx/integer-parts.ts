import { type NodeProto, type TensorProto, TensorProto_DataType } from './generated/onnx_pb.ts';
import { makeNode } from './nodes.ts';
import { quantiseColumns } from './quantise-columns.ts';
import { float32Tensor, int8Tensor, int64Tensor } from './tensor-data.ts';

/** An input as integers: value ≈ (integer − zeroPoint) × scale. */
export interface QuantisedInput {
  readonly integers: string;
  readonly scale: string;
  readonly zeroPoint: string;
  /** The nodes that give these names, when nobody had them made before. */
  readonly nodes: readonly NodeProto[];
}

/** Weights [inputs, outputs] as integers with a scale for each output. */
export interface QuantisedWeights {
  readonly integers: string;
  readonly scales: string;
  /** As they will be used, [inputs, outputs]. */
  readonly restored: Float32Array;
}

/** Makes what integer products in one graph consist of; what two of them need is made once. */
export interface IntegerParts {
  quantiseInput(name: string): QuantisedInput;
  /** `name` is that of the fp32 weights, `arranged` how they are multiplied; undefined when they are too large to be scaled. */
  quantiseWeights(
    name: string,
    arranged: Float32Array,
    inputs: number,
    outputs: number,
  ): QuantisedWeights | undefined;
  /** Nodes from quantised operands to the fp32 result, `output`: integers · weights · scales + bias. */
  product(operands: ProductOperands): readonly NodeProto[];
  /** An fp32 constant. */
  floats(wanted: string, values: Float32Array): string;
  /** A constant list of integers. */
  integers(values: readonly number[]): string;
  freshName(wanted: string): string;
  /** The initialisers that all of this reads. */
  tensors(): readonly TensorProto[];
}

export interface ProductOperands {
  /** Name of the integers to multiply, [..., inputs]; by default those of `input` themselves. */
  readonly rows: string;
  readonly input: QuantisedInput;
  readonly weights: QuantisedWeights;
  readonly bias: string | undefined;
  readonly output: string;
}

export function createIntegerParts(freshName: (wanted: string) => string): IntegerParts {
  const tensors: TensorProto[] = [];
  const inputs = new Map<string, QuantisedInput>();
  const weights = new Map<string, QuantisedWeights | undefined>();
  const lists = new Map<string, string>();

  return {
    freshName,

    quantiseInput(name) {
      const made = inputs.get(name);
      if (made !== undefined) return { ...made, nodes: [] };
      const [integers, scale, zeroPoint] = [
        freshName(`${name}_u8`),
        freshName(`${name}_scale`),
        freshName(`${name}_zero`),
      ];
      const nodes = [makeNode('DynamicQuantizeLinear', [name], [integers, scale, zeroPoint])];
      const quantised = { integers, scale, zeroPoint, nodes };
      inputs.set(name, quantised);
      return quantised;
    },

    quantiseWeights(name, arranged, inputCount, outputCount) {
      const key = `${name} ${inputCount}`;
      if (weights.has(key)) return weights.get(key);
      const quantised = quantiseColumns(arranged, outputCount);
      let made: QuantisedWeights | undefined;
      if (quantised !== undefined) {
        const { integers, scales, restored } = quantised;
        made = { integers: freshName(`${name}_int8`), scales: freshName(`${name}_scales`), restored };
        tensors.push(
          int8Tensor(made.integers, [inputCount, outputCount], integers),
          float32Tensor(made.scales, [outputCount], scales),
        );
      }
      weights.set(key, made);
      return made;
    },

    product({ rows, input, weights: { integers, scales }, bias, output }) {
      const [sums, numbers, scale] = [
        freshName(`${output}_i32`),
        freshName(`${output}_f32`),
        freshName(`${output}_scale`),
      ];
      const scaled = bias === undefined ? output : freshName(`${output}_scaled`);
      // In this very order: onnxruntime makes one kernel of these nodes.
      return [
        makeNode('MatMulInteger', [rows, integers, input.zeroPoint], [sums]),
        makeNode('Cast', [sums], [numbers], { to: TensorProto_DataType.FLOAT }),
        makeNode('Mul', [input.scale, scales], [scale]),
        makeNode('Mul', [numbers, scale], [scaled]),
        ...(bias === undefined ? [] : [makeNode('Add', [scaled, bias], [output])]),
      ];
    },

    floats(wanted, values) {
      const name = freshName(wanted);
      tensors.push(float32Tensor(name, [values.length], values));
      return name;
    },

    integers(values) {
      const key = values.join();
      const known = lists.get(key);
      if (known !== undefined) return known;
      const name = freshName(`integers_${values.join('_').replaceAll('-', 'm')}`.slice(0, 40));
      lists.set(key, name);
      tensors.push(int64Tensor(name, [values.length], values));
      return name;
    },

    tensors: () => tensors,
  };
}
