import type { Api } from './api.ts';
import type { Device } from './device.ts';
import type { Emit } from './events.ts';
import type { Leases } from './lease.ts';
import type { NetworkMeter } from './network.ts';
import type { OutcomeReporter } from './outcomes.ts';
import type { TaskCatalog } from './task-catalog.ts';

/** What answering needs. */
export interface InferParts {
  readonly api: Api;
  readonly catalog: Pick<TaskCatalog, 'infoFor' | 'isOutdated' | 'refresh'>;
  readonly device: Device;
  readonly leases: Leases;
  readonly network: NetworkMeter;
  readonly outcomes: OutcomeReporter;
  readonly emit: Emit;
  readonly now: () => number;
}
