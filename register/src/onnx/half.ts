/** Largest finite number that fp16 holds. */
export const LARGEST_HALF = 65_504;

const scratch = new DataView(new ArrayBuffer(4));

/**
 * The fp16 bits nearest to `value`, ties to even (IEEE 754-2019, 4.3.1 and 3.6). What is too small becomes a subnormal or a
 * zero of the same sign, what is too large an infinity; a NaN stays one.
 */
export function halfBitsOf(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7f_ffff;
  if (exponent === 0xff) return sign | (fraction === 0 ? 0x7c00 : 0x7e00);

  // fp32 has bias 127, fp16 bias 15; below exponent 1 the leading one moves into the fraction.
  const halfExponent = exponent - 127 + 15;
  if (halfExponent >= 0x1f) return sign | 0x7c00;
  if (halfExponent >= 1) return sign | roundedShift((halfExponent << 23) | fraction, 13);
  const shift = 14 - halfExponent;
  return shift > 24 ? sign : sign | roundedShift(0x80_0000 | fraction, shift);
}

/** `bits >> shift`, to nearest, ties to even. A carry out of the fraction raises the exponent, as it should. */
function roundedShift(bits: number, shift: number): number {
  const kept = bits >>> shift;
  const rest = bits & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}

/** The number that fp16 bits stand for; exact. */
export function halfToNumber(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}
