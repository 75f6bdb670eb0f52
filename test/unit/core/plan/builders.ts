import {
  certain,
  type Demand,
  type Placeable,
  type PlanInput,
  type PlanVariant,
  type WorkerClass,
} from '@nearfar/core';

export function demand(overrides: Partial<Demand> = {}): Demand {
  return {
    id: 'demand',
    task: 'task',
    requestsPerSecond: 10,
    sloMs: 100,
    sloTarget: 0.99,
    minAccuracy: 0,
    tiers: ['edge', 'pool'],
    network: certain(0),
    missPicoUsd: 1e9,
    pages: [],
    ...overrides,
  };
}

/** Two workers that are given, each a second of time a second, at 1,000 picodollars a busy millisecond. */
export function workers(overrides: Partial<WorkerClass> = {}): WorkerClass {
  const id = overrides.id ?? 'cpu';
  return {
    id,
    tier: 'edge',
    deviceClass: id,
    workers: 2,
    min: 2,
    max: 2,
    memoryBytes: 1_000,
    slots: 1,
    link: certain(0),
    busyPicoUsdPerMs: 1_000,
    workerPicoUsdPerMs: 0,
    startupMs: 0,
    ...overrides,
  };
}

/** A variant with the time of a batch of one, or of several sizes, on each class. */
export function variant(
  name: string,
  times: Readonly<Record<string, number | readonly number[]>>,
  { accuracy = 0.9, task = 'task', ...rest }: Partial<PlanVariant> & Partial<Placeable> = {},
): PlanVariant {
  const { loadMs = 100, memoryBytes = 100, loaded = 0 } = rest;
  return {
    task,
    variant: name,
    accuracy,
    on: Object.entries(times).map(([workerClass, time]) => ({
      workerClass,
      loadMs,
      memoryBytes,
      loaded,
      batches: (typeof time === 'number' ? [time] : time).map((ms, index) => ({
        batch: 2 ** index,
        time: certain(ms),
      })),
    })),
  };
}

export function planInput(overrides: Partial<PlanInput> = {}): PlanInput {
  return {
    demands: [demand()],
    classes: [workers()],
    variants: [variant('v', { cpu: 20 })],
    rule: { targetUtilisation: 1 },
    ...overrides,
  };
}
