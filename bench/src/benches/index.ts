import type { Bench } from '../bench.ts';
import { bounds } from './bounds.ts';
import { calibration } from './calibration.ts';
import { decideBench } from './decide.ts';
import { forecast } from './forecast.ts';
import { placement } from './placement.ts';
import { plan } from './plan.ts';
import { simulator } from './simulator.ts';

/** Every benchmark, by name. */
export const BENCHES: readonly Bench[] = [
  bounds,
  calibration,
  decideBench,
  forecast,
  placement,
  plan,
  simulator,
];
