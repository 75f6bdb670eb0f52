import type { Moments } from '@nearfar/protocol';

/*
 * A latency is the sum of parts (network, queue, batch wait, compute, load). Quantiles of parts do not add; means and,
 * for independent parts, variances do. The sum is then taken as log-normal with those two moments
 * (Fenton 1960; see also Cobb et al. 2012, "Approximating the distribution of a sum of log-normal random variables"):
 * positive, right-skewed, and its CDF costs one logarithm and one exponential.
 */

/** A time that is certain. */
export function certain(meanMs: number): Moments {
  return { meanMs, varianceMs2: 0 };
}

export const ZERO: Moments = certain(0);

/** Moments of the sum of independent times. */
export function sumMoments(parts: readonly Moments[]): Moments {
  let meanMs = 0;
  let varianceMs2 = 0;
  for (const part of parts) {
    meanMs += part.meanMs;
    varianceMs2 += part.varianceMs2;
  }
  return { meanMs, varianceMs2 };
}

/** P(time ≤ `deadlineMs`), 0 to 1. A certain time gives 0 or 1. */
export function onTimeProbability(time: Moments, deadlineMs: number): number {
  if (!(deadlineMs > 0) || !Number.isFinite(time.meanMs) || !Number.isFinite(time.varianceMs2)) return 0;
  if (time.meanMs <= 0) return 1;
  if (time.varianceMs2 <= 0) return time.meanMs <= deadlineMs ? 1 : 0;
  const { location, scale } = logNormal(time);
  // A variance too small to tell from none beside the mean.
  if (scale === 0) return time.meanMs <= deadlineMs ? 1 : 0;
  return normalCdf((Math.log(deadlineMs) - location) / scale);
}

/** The time that a share `quantile` (above 0, below 1) of requests stays below. */
export function quantileMs(time: Moments, quantile: number): number {
  if (!Number.isFinite(time.meanMs) || !Number.isFinite(time.varianceMs2)) return Number.POSITIVE_INFINITY;
  if (time.meanMs <= 0) return 0;
  if (time.varianceMs2 <= 0) return time.meanMs;
  const { location, scale } = logNormal(time);
  return Math.exp(location + scale * normalQuantile(quantile));
}

/** Location and scale of the logarithm of a time whose mean and variance are both above 0. */
export function logNormal(time: Moments): { location: number; scale: number } {
  const logVariance = Math.log1p(time.varianceMs2 / (time.meanMs * time.meanMs));
  return { location: Math.log(time.meanMs) - logVariance / 2, scale: Math.sqrt(logVariance) };
}

/** Standard normal CDF; absolute error below 1e-7 (Abramowitz and Stegun 26.2.17). */
export function normalCdf(x: number): number {
  const magnitude = Math.abs(x);
  const t = 1 / (1 + 0.2316419 * magnitude);
  const density = 0.3989422804014327 * Math.exp((-magnitude * magnitude) / 2);
  const polynomial =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const upperTail = density * polynomial;
  return x >= 0 ? 1 - upperTail : upperTail;
}

/** Inverse of the standard normal CDF; relative error below 1.15e-9 (P. J. Acklam, 2003). */
export function normalQuantile(probability: number): number {
  if (probability <= 0) return Number.NEGATIVE_INFINITY;
  if (probability >= 1) return Number.POSITIVE_INFINITY;
  if (probability < 0.02425) return tail(Math.sqrt(-2 * Math.log(probability)));
  if (probability > 1 - 0.02425) return -tail(Math.sqrt(-2 * Math.log(1 - probability)));
  const q = probability - 0.5;
  const r = q * q;
  const numerator =
    (((((-39.69683028665376 * r + 220.9460984245205) * r - 275.9285104469687) * r + 138.357751867269) * r -
      30.66479806614716) *
      r +
      2.506628277459239) *
    q;
  const denominator =
    ((((-54.47609879822406 * r + 161.5858368580409) * r - 155.6989798598866) * r + 66.80131188771972) * r -
      13.28068155288572) *
      r +
    1;
  return numerator / denominator;
}

function tail(q: number): number {
  const numerator =
    ((((-0.007784894002430293 * q - 0.3223964580411365) * q - 2.400758277161838) * q - 2.549732539343734) *
      q +
      4.374664141464968) *
      q +
    2.938163982698783;
  const denominator =
    (((0.007784695709041462 * q + 0.3224671290700398) * q + 2.445134137142996) * q + 3.754408661907416) * q +
    1;
  return numerator / denominator;
}
