import type { Bench } from '../bench.ts';
import { ablations } from './ablations.ts';
import { bounds } from './bounds.ts';
import { calibration } from './calibration.ts';
import { cascades } from './cascades.ts';
import { decideBench } from './decide.ts';
import { fidelity } from './fidelity.ts';
import { forecast } from './forecast.ts';
import { placement } from './placement.ts';
import { plan } from './plan.ts';
import { sharing } from './sharing.ts';
import { simulator } from './simulator.ts';

/** Every benchmark, by name. */
export const BENCHES: readonly Bench[] = [
  ablations,
  bounds,
  calibration,
  cascades,
  decideBench,
  fidelity,
  forecast,
  placement,
  plan,
  sharing,
  simulator,
];
