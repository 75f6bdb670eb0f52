import { floatAttribute, intAttribute } from '../onnx/nodes.ts';
import { type Convert, computedInput, constantInput, expectOutputs } from './context.ts';
import { scaleAndShift } from './convert-arithmetic.ts';
import { printShape } from './dimension.ts';
import { unsupported } from './unsupported.ts';

/**
 * BatchNormalization in inference: y = scale (x − mean) / √(variance + ε) + bias (ONNX: docs/Operators.md), that is
 * y = f x + (bias − f mean) with f = scale / √(variance + ε), for each channel.
 */
export const convertBatchNormalization: Convert = (node, inputs, context) => {
  expectOutputs(node, 1, context);
  if (intAttribute(node, 'training_mode', 0) !== 0) throw unsupported('training_mode off', 'on');
  if (intAttribute(node, 'spatial', 1) !== 1) throw unsupported('statistics for each channel', 'spatial 0');
  const value = computedInput(inputs, 0);
  if (value.shape.length < 2) throw unsupported('a value with channels', printShape(value.shape));
  const [scale, bias, mean, variance] = [1, 2, 3, 4].map((index) => constantInput(inputs, index).values);
  const epsilon = floatAttribute(node, 'epsilon', 1e-5);
  const factors = Float32Array.from(
    scale ?? [],
    (factor, channel) => factor / Math.sqrt((variance?.[channel] ?? 0) + epsilon),
  );
  const summands = factors.map((factor, channel) => (bias?.[channel] ?? 0) - factor * (mean?.[channel] ?? 0));
  return [scaleAndShift(value, factors, summands, context)];
};
