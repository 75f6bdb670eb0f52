import {
  type Demand,
  type Placeable,
  type PlanInput,
  type PlanVariant,
  picoUsdPerMs,
  type WorkerClass,
} from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';
import { createUniform, STREAMS } from './random.ts';

/** How large a made-up planning problem is. */
export interface PlanInstanceSize {
  /** Variants, ten to a task. */
  readonly variants: number;
  readonly classes: number;
}

const VARIANTS_OF_TASK = 10;
const MEGABYTE = 1_000_000;
const BATCHES = [1, 2, 4, 8, 16];
/** Milliseconds: the classes of deadlines of the placement benchmark, without those that only a page can keep. */
const DEADLINES_MS = [50, 100, 300, 1_000];
/** Zipf's exponent of the tasks' popularity. */
const POPULARITY = 0.9;

/**
 * A planning problem of a size, the same for the same seed.
 *
 * Models are a ladder of cost and accuracy, each rung about 1.6 times as slow as the one below: the range of the measured
 * image models (a small MobileNet takes 3 ms on a CPU core and a ResNet-50 about 100). On CPUs a batch takes its size times
 * the time of one; on GPUs most of a small batch's time does not depend on its size. A third of the classes are GPUs at
 * 0.35 to 3 dollars an hour, the rest CPUs at 0.03 to 0.2. Half of the fleet is given, the other half may grow and shrink.
 * Demand of all tasks is scaled to about two thirds of what the fleet could do; a part of the callers could answer themselves.
 */
export function planInstance(seed: number, { variants, classes }: PlanInstanceSize): PlanInput {
  const random = createUniform(seed, STREAMS.policy);
  const between = (low: number, high: number) => low + (high - low) * random();
  const spread = (low: number, high: number) => low * (high / low) ** random();
  const workerClasses = Array.from({ length: classes }, (_, index) =>
    workerClass(index, { random, between, spread }),
  );
  const speeds = workerClasses.map(() => spread(0.6, 1.7));
  const taskCount = Math.ceil(variants / VARIANTS_OF_TASK);
  const planVariants: PlanVariant[] = [];
  for (let task = 0; task < taskCount; task += 1) {
    const smallestMs = spread(2, 12);
    const least = between(0.55, 0.8);
    const count = Math.min(VARIANTS_OF_TASK, variants - task * VARIANTS_OF_TASK);
    for (let rung = 0; rung < count; rung += 1) {
      const cpuMs = smallestMs * 1.6 ** rung * between(0.85, 1.15);
      const memoryBytes = 40 * MEGABYTE * 1.5 ** rung * between(0.8, 1.25);
      planVariants.push({
        task: `task-${task}`,
        variant: `v${rung}`,
        accuracy: least + (0.97 - least) * (1 - 0.75 ** (rung + 1)) + between(-0.005, 0.005),
        on: workerClasses.map((own, index) =>
          placeable(own, cpuMs / (speeds[index] ?? 1), memoryBytes, { random, between, spread }),
        ),
      });
    }
  }
  const demands = demandsOf(planVariants, taskCount, { random, between, spread });
  return {
    classes: workerClasses,
    variants: planVariants,
    demands: scaled(demands, planVariants, workerClasses),
  };
}

interface Draw {
  readonly random: () => number;
  readonly between: (low: number, high: number) => number;
  readonly spread: (low: number, high: number) => number;
}

function workerClass(index: number, { random, between, spread }: Draw): WorkerClass {
  const isGpu = index % 3 === 0;
  const isGiven = random() < 0.5;
  const workers = Math.round(isGpu ? between(2, 8) : between(4, 24));
  const rate = picoUsdPerMs(isGpu ? spread(0.35, 3) : spread(0.03, 0.2));
  return {
    id: `class-${index}`,
    tier: isGpu || index % 3 === 1 ? 'pool' : 'edge',
    deviceClass: `device-${index}`,
    workers,
    min: isGiven ? workers : 0,
    max: isGiven ? workers : workers * 2,
    memoryBytes: (isGpu ? 16_000 : 4_000) * MEGABYTE,
    slots: isGpu ? 1 : 4,
    link: moments(isGpu ? between(4, 15) : between(1, 6)),
    busyPicoUsdPerMs: isGiven ? rate : 0,
    workerPicoUsdPerMs: isGiven ? 0 : rate,
    startupMs: between(20_000, 40_000),
  };
}

function placeable(
  own: WorkerClass,
  cpuMs: number,
  memoryBytes: number,
  { random, between }: Draw,
): Placeable {
  const isGpu = own.slots === 1;
  const fixedMs = isGpu ? 1.5 + cpuMs / 14 : 0;
  const eachMs = isGpu ? cpuMs / 90 : cpuMs;
  return {
    workerClass: own.id,
    loadMs: (memoryBytes / MEGABYTE) * between(4, 10),
    memoryBytes,
    loaded: random() < 0.1 ? Math.ceil(own.workers * random()) : 0,
    batches: BATCHES.map((batch) => ({ batch, time: moments(fixedMs + eachMs * batch) })),
  };
}

function demandsOf(variants: readonly PlanVariant[], taskCount: number, draw: Draw): Demand[] {
  const demands: Demand[] = [];
  for (let task = 0; task < taskCount; task += 1) {
    const own = variants.filter((variant) => variant.task === `task-${task}`).map(({ accuracy }) => accuracy);
    const popularity = 1 / (task + 1) ** POPULARITY;
    for (const sloMs of DEADLINES_MS) {
      for (const rung of [2, 5]) {
        for (const isCapable of [false, true]) {
          const minAccuracy = own[Math.min(rung, own.length - 1)] ?? 0;
          const options = own
            .slice(0, 7)
            .flatMap((accuracy, index) =>
              accuracy < minAccuracy
                ? []
                : [{ variant: `v${index}`, accuracy, costPicoUsd: 4_000 * 1.5 ** index }],
            );
          demands.push({
            id: `task-${task}/${sloMs}/${rung}/${isCapable ? 'capable' : 'other'}`,
            task: `task-${task}`,
            requestsPerSecond: popularity * draw.between(0.3, 1.7),
            sloMs,
            sloTarget: 0.95,
            minAccuracy,
            tiers: ['edge', 'pool'],
            // So that a deadline can be kept: what cannot be answered costs the same in every plan and would hide the gap.
            network: moments(draw.spread(5, Math.max(6, sloMs / 5))),
            // A thousandth of a dollar: about a thousand times what a request costs.
            missPicoUsd: 1e9,
            pages: isCapable ? [{ deviceClass: 'webgpu', share: draw.between(0.3, 0.9), options }] : [],
          });
        }
      }
    }
  }
  return demands;
}

/** Demand at about two thirds of what the fleet could answer if each request took its task's middle variant. */
function scaled(
  demands: readonly Demand[],
  variants: readonly PlanVariant[],
  classes: readonly WorkerClass[],
): Demand[] {
  const meanBusyMs = classes.map(({ id }) => {
    const times = variants.flatMap(({ on }, index) => {
      if (index % VARIANTS_OF_TASK !== VARIANTS_OF_TASK / 2) return [];
      const batch = on.find(({ workerClass: own }) => own === id)?.batches[2];
      return batch === undefined ? [] : [batch.time.meanMs / batch.batch];
    });
    return times.reduce((sum, time) => sum + time, 0) / Math.max(1, times.length);
  });
  const capacity = classes.reduce(
    (sum, { workers, slots }, index) => sum + (1_000 * workers * slots) / (meanBusyMs[index] || 1),
    0,
  );
  const total = demands.reduce((sum, { requestsPerSecond }) => sum + requestsPerSecond, 0);
  const factor = (0.65 * capacity) / total;
  return demands.map((demand) => ({ ...demand, requestsPerSecond: demand.requestsPerSecond * factor }));
}

/** A time whose spread is a fifth of its mean. */
function moments(meanMs: number): Moments {
  return { meanMs, varianceMs2: (meanMs / 5) ** 2 };
}
