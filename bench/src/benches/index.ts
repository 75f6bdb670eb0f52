import type { Bench } from '../bench.ts';
import { calibration } from './calibration.ts';

/** Every benchmark, by name. */
export const BENCHES: readonly Bench[] = [calibration];
