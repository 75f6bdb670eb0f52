import { normalQuantile } from '@nearfar/core';
import { createUniform, STREAMS } from '../random.ts';
import type { Arrival } from './scenario.ts';

/**
 * Arrivals whose times between each other are gamma distributed with mean 1 / `perSecond` and the given squared coefficient
 * of variation: 1 is a Poisson process, above it come bursts.
 */
export function gammaArrivals(
  {
    perSecond,
    seconds,
    squaredVariation,
  }: { readonly perSecond: number; readonly seconds: number; readonly squaredVariation: number },
  seed: number,
): Arrival[] {
  const random = createUniform(seed, STREAMS.arrivals);
  const shape = 1 / squaredVariation;
  const scaleMs = (1_000 / perSecond) * squaredVariation;
  const arrivals: Arrival[] = [];
  let nowMs = 0;
  for (;;) {
    nowMs += gammaDraw(shape, random) * scaleMs;
    if (nowMs >= seconds * 1_000) return arrivals;
    arrivals.push({ arrivalMs: nowMs });
  }
}

/**
 * Marsaglia and Tsang 2000, "A simple method for generating gamma variables": for a shape below 1 the draw of shape + 1
 * times a power of a uniform number.
 */
function gammaDraw(shape: number, random: () => number): number {
  if (shape < 1) return gammaDraw(shape + 1, random) * (1 - random()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normalQuantile(Math.max(1e-12, random()));
    const v = (1 + c * x) ** 3;
    const u = Math.max(1e-300, random());
    if (v > 0 && Math.log(u) < (x * x) / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}
