/** Gives numbers from 0 to below 1. */
export type Random = () => number;

/**
 * A small seeded generator, so that inputs are the same at each registration: SplitMix (Steele, Lea & Flood, "Fast splittable
 * pseudorandom number generators", OOPSLA 2014) at 32 bits, with the mixing constants of Wellons's hash prospector.
 */
export function createRandom(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    mixed ^= mixed >>> 15;
    return (mixed >>> 0) / 2 ** 32;
  };
}

/**
 * A generator for the row `index`, so that rows do not depend on the order in which they are asked for. The factor is not
 * the generator's own step: the generators of neighbours would give the same numbers, one place on.
 */
export function randomOfRow(seed: number, index: number): Random {
  return createRandom(seed ^ Math.imul(index + 1, 0x85ebca6b));
}
