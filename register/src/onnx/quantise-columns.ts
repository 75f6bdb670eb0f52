/** Integers and the numbers that turn them back: value ≈ integer × scale. */
export interface Quantised {
  readonly integers: Int8Array;
  /** One scale for each column. */
  readonly scales: Float32Array;
  /** The values as they will be used. */
  readonly restored: Float32Array;
}

/**
 * Most that an integer and the one below it may be together, where they have the same sign. AVX2 and AVX-512 without VNNI add
 * two products of a uint8 and an int8 in 16 bits and cut off what does not fit; 255 · 128 = 32,640 does. One less here,
 * since each of the two may be rounded up by a half. So all devices give the same sums, for less than the whole bit that
 * onnxruntime's `reduce_range` costs
 * (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
 */
const LARGEST_PAIR = 127;

/**
 * Symmetric int8 of a matrix [rows, columns] with a scale for each column: scale = max |w| / 127 (or more, for `LARGEST_PAIR`),
 * integer = round(w / scale), ties to even (Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient
 * inference", 2.2 and 3.1.1). No element is off by more than scale / 2. A column of zeros has scale 1. `values` are finite.
 *
 * @returns undefined when a value is so large (2^126 or more) that its integer times the scale may not be finite.
 */
export function quantiseColumns(values: Float32Array, columns: number): Quantised | undefined {
  const largest = new Float64Array(columns);
  for (let index = 0; index < values.length; index += 1) {
    const [value, below] = [values[index] ?? 0, values[index + columns] ?? 0];
    const pair = value * below > 0 ? Math.abs(value + below) * (127 / LARGEST_PAIR) : 0;
    const size = Math.max(Math.abs(value), pair);
    if (size >= 2 ** 126) return undefined;
    const column = index % columns;
    if (size > (largest[column] ?? 0)) largest[column] = size;
  }
  // Where the quotient is too small for a normal fp32 (2^-126), which some devices take for 0, all of the column becomes 0.
  const scales = Float32Array.from(largest, (size) => (size / 127 < 2 ** -126 ? 1 : size / 127));
  const integers = new Int8Array(values.length);
  const restored = new Float32Array(values.length);
  for (let index = 0; index < values.length; index += 1) {
    const scale = scales[index % columns] ?? 1;
    const integer = Math.max(-127, Math.min(127, roundHalfToEven((values[index] ?? 0) / scale)));
    integers[index] = integer;
    restored[index] = integer * scale;
  }
  return { integers, scales, restored };
}

function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
