import { normalQuantile } from '@nearfar/core';

/** What a random number is for: numbers of different streams have nothing to do with each other. */
export const STREAMS = {
  service: 1,
  arrivals: 2,
  callers: 3,
  rtt: 4,
  device: 5,
  cached: 6,
  policy: 7,
  thinning: 8,
  escalation: 9,
  drift: 10,
  oracle: 11,
  decisions: 12,
  slo: 13,
} as const;

export type Stream = (typeof STREAMS)[keyof typeof STREAMS];

const TWO_32 = 2 ** 32;

/**
 * A number from 0 to below 1 that follows from seed, stream and index alone, so that it can be had in any order: the
 * finaliser of MurmurHash3 (Appleby 2011), applied once for each of the three.
 */
export function uniformAt(seed: number, stream: Stream, index: number): number {
  let hash = mix((seed >>> 0) ^ 0x9e3779b9);
  hash = mix(hash ^ Math.imul(stream, 0x85ebca6b) ^ Math.floor(seed / TWO_32));
  hash = mix(hash ^ (index >>> 0) ^ Math.imul(Math.floor(index / TWO_32), 0xc2b2ae35));
  return hash / TWO_32;
}

/** A standard normal number that follows from seed, stream and index alone. */
export function normalAt(seed: number, stream: Stream, index: number): number {
  // Off both ends by half a step, where the quantile is infinite.
  return normalQuantile(uniformAt(seed, stream, index) + 0.5 / TWO_32);
}

/** A stream of numbers from 0 to below 1, the same ones for the same seed. */
export function createUniform(seed: number, stream: Stream): () => number {
  let index = 0;
  return () => {
    index += 1;
    return uniformAt(seed, stream, index);
  };
}

function mix(value: number): number {
  let hash = value ^ (value >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
