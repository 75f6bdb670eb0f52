import type { Bench } from '../bench.ts';

/** Every benchmark, by name. */
export const BENCHES: readonly Bench[] = [];
