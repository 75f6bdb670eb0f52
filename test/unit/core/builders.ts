import type { LatencyParts, Option, RequestSpec } from '@nearfar/core';
import { certain, resolveSpec, ZERO } from '@nearfar/core';
import type { Moments, Parameters } from '@nearfar/protocol';

/** A time with the given mean and standard deviation. */
export function time(meanMs: number, deviationMs = 0): Moments {
  return { meanMs, varianceMs2: deviationMs * deviationMs };
}

export function parts(over: Partial<LatencyParts> = {}): LatencyParts {
  return { network: ZERO, queue: ZERO, compute: certain(5), load: ZERO, ...over };
}

/** An option that is feasible for most requests; name what matters to the test. */
export function option(over: Partial<Option> = {}): Option {
  return {
    variant: 'small-fp32-onnx',
    revision: 1,
    model: 'small',
    tier: 'edge',
    worker: 'edge-1',
    deviceClass: 'cpu:test',
    accuracy: 0.9,
    parts: parts(),
    costPicoUsd: 1_000,
    worstCostPicoUsd: 2_000,
    blockers: [],
    ...over,
  };
}

export function spec(parameters: Parameters = {}, variant?: string): RequestSpec {
  return resolveSpec(parameters, {}, variant);
}
