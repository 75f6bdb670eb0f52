import type { NetworkPath } from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';

/** Round trips that the distribution rests on, newest first to stay. */
const KEPT_ROUND_TRIPS = 16;
/** What is assumed before anything was measured. */
const UNKNOWN: Moments = { meanMs: 50, varianceMs2: 625 };

/** The way from this page to the mesh and back, as its own calls found it. */
export class NetworkMeter {
  readonly #roundTripsMs: number[] = [];

  /** Adds a round trip without what the mesh did in between, in milliseconds. */
  add(roundTripMs: number): void {
    this.#roundTripsMs.push(Math.max(0, roundTripMs));
    if (this.#roundTripsMs.length > KEPT_ROUND_TRIPS) this.#roundTripsMs.shift();
  }

  get path(): NetworkPath {
    return { rtt: momentsOf(this.#roundTripsMs), bytesPerMs: undefined };
  }
}

/**
 * Median and mean absolute deviation instead of mean and variance: the first call also opens a connection and
 * compiles code, and must not count for long.
 */
function momentsOf(values: readonly number[]): Moments {
  if (values.length === 0) return UNKNOWN;
  const sorted = [...values].sort((a, b) => a - b);
  const meanMs = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
  const deviation = sorted.reduce((sum, value) => sum + Math.abs(value - meanMs), 0) / sorted.length;
  return { meanMs, varianceMs2: Math.max(deviation, meanMs / 20) ** 2 };
}
