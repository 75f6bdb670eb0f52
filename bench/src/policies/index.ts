import type { PolicyFactory } from '../simulator/policy.ts';
import { alwaysBrowser, alwaysEdge, alwaysPool } from './always.ts';
import { clairvoyant } from './clairvoyant.ts';
import { clipper } from './clipper.ts';
import { greedyCost, greedyLatency } from './greedy.ts';
import { infaas, infaasDropping } from './infaas.ts';
import { informed } from './informed.ts';
import { mesh } from './mesh.ts';
import { proteus } from './proteus.ts';
import { tfserving } from './tfserving.ts';

/** Every policy that can be simulated, by its name on the command line. */
export const POLICIES: ReadonlyMap<string, PolicyFactory> = new Map<string, PolicyFactory>([
  ['mesh', (scenario) => mesh(scenario)],
  ['always-browser', alwaysBrowser],
  ['always-edge', alwaysEdge],
  ['always-pool', alwaysPool],
  ['greedy-latency', greedyLatency],
  ['greedy-cost', greedyCost],
  ['infaas', infaas],
  ['infaas-dropping', infaasDropping],
  ['clipper', clipper],
  ['tfserving', tfserving],
  ['proteus', proteus],
  ['informed', informed],
  ['clairvoyant', clairvoyant],
]);
