import type { CalibrationBook, EscalationBook } from '@nearfar/core';
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
  /** How often cascades needed their large stage for this page's inputs. */
  readonly escalations: EscalationBook;
  /** How this page's own runs lay from what was predicted of them. */
  readonly calibrations: CalibrationBook;
  readonly decisions: DecisionCount;
  readonly emit: Emit;
  readonly now: () => number;
}

/** Decisions of this page, and those of them that waited for the network: for a lease. */
export interface DecisionCount {
  total: number;
  waited: number;
}
