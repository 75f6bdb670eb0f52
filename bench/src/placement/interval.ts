/** A mean with half of its 95 % interval; infinitely wide of fewer than two values. */
export interface Interval {
  readonly mean: number;
  readonly halfWidth: number;
}

/** 97.5 % quantiles of Student's t, from one degree of freedom on. */
const T_975 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093,
];
const Z_975 = 1.96;

/** Mean and 95 % t-interval of independent values; the mean of none is NaN. */
export function intervalOf(values: readonly number[]): Interval {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length < 2) return { mean, halfWidth: Number.POSITIVE_INFINITY };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (values.length - 1));
  return { mean, halfWidth: ((T_975[values.length - 2] ?? Z_975) * deviation) / Math.sqrt(values.length) };
}
