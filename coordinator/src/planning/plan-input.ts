import {
  certain,
  type Demand,
  type Placeable,
  type PlanInput,
  type PlanVariant,
  type ProfileBook,
  picoUsdPerMs,
  type RegisteredTask,
  type WorkerClass,
  workerUsdPerHour,
  ZERO,
} from '@nearfar/core';
import type { Prices, VariantSpec } from '@nearfar/protocol';
import type { FleetWorker } from '../fleet-worker.ts';
import type { ForecastStream } from './demand-book.ts';

/** Batches that a plan weighs. */
const BATCHES = [1, 2, 4, 8, 16];
/** Of a variant whose load nobody has measured yet. */
const UNKNOWN_LOAD_MS = 1_000;
/** A miss costs at least a thousandth of a dollar, and this many times the dearest second of work. */
const LEAST_MISS_PICO_USD = 1e9;
const MISS_IN_SECONDS = 10;
/** What a caller who prefers accuracy gives for it, as a share of what a miss costs. */
const ACCURACY_SHARE = 0.1;

/** What the live planner knows. */
export interface LiveFacts {
  readonly tasks: readonly RegisteredTask[];
  readonly workers: readonly FleetWorker[];
  readonly book: ProfileBook;
  readonly prices: Prices;
  readonly streams: readonly ForecastStream[];
}

/**
 * The class of a worker: what it is, what it costs and what it can run. Workers do not say how much memory they have; they
 * give up by themselves what does not fit.
 */
export function classOf({ hello }: FleetWorker): string {
  const { tier, device, slots, usdPerHour, formats } = hello;
  return [
    tier,
    device.deviceClass,
    `${slots} slots`,
    usdPerHour ?? 'price book',
    [...formats].sort().join('+'),
  ].join(', ');
}

/** The planning problem of a running mesh: the fleet as it is, and the demand that is expected. */
export function livePlanInput({ tasks, workers, book, prices, streams }: LiveFacts): PlanInput {
  const active = workers.filter(({ state }) => state === 'active');
  const members = new Map<string, FleetWorker[]>();
  for (const worker of active) {
    const id = classOf(worker);
    const ofClass = members.get(id) ?? [];
    members.set(id, ofClass);
    ofClass.push(worker);
  }
  const classes = [...members].flatMap(([id, ofClass]) => {
    const [first] = ofClass;
    return first === undefined ? [] : [workerClass(id, first, ofClass.length, prices)];
  });
  const variants = tasks.flatMap((task) =>
    task.variants
      .filter(({ format }) => format !== 'cascade')
      .map(
        (spec): PlanVariant => ({
          task: task.task,
          variant: spec.variant,
          accuracy: spec.accuracy.value,
          on: [...members].flatMap(([id, ofClass]) => placeable(id, ofClass, spec, book)),
        }),
      ),
  );
  const dearest = Math.max(0, ...classes.map(({ busyPicoUsdPerMs }) => busyPicoUsdPerMs));
  const missPicoUsd = Math.max(LEAST_MISS_PICO_USD, dearest * 1_000 * MISS_IN_SECONDS);
  const demands = streams.flatMap((stream) => {
    const task = tasks.find((entry) => entry.task === stream.task);
    return task === undefined ? [] : [demandOf(stream, task, missPicoUsd)];
  });
  return { classes, variants, demands };
}

function workerClass(id: string, worker: FleetWorker, count: number, prices: Prices): WorkerClass {
  const { hello } = worker;
  return {
    id,
    tier: hello.tier,
    deviceClass: hello.device.deviceClass,
    workers: count,
    min: count,
    max: count,
    memoryBytes: Number.POSITIVE_INFINITY,
    slots: hello.slots,
    link: certain(worker.load.load?.rttMs ?? 0),
    busyPicoUsdPerMs: picoUsdPerMs(workerUsdPerHour(prices, hello)),
    workerPicoUsdPerMs: 0,
    startupMs: 0,
  };
}

function placeable(
  workerClass: string,
  members: readonly FleetWorker[],
  spec: VariantSpec,
  book: ProfileBook,
): Placeable[] {
  const [first] = members;
  if (first === undefined || !first.canRun(spec)) return [];
  // Where it failed on all of them, it is no use to plan for it.
  if (members.every((worker) => worker.replica(spec)?.state === 'failed')) return [];
  const key = { ...spec, deviceClass: first.hello.device.deviceClass };
  const batches = (spec.isBatchable ? BATCHES : [1]).flatMap((batch) => {
    const service = book.service(key, batch);
    return service === undefined ? [] : [{ batch, time: service.compute }];
  });
  if (batches.length === 0) return [];
  const footprint = book.footprint(key);
  return [
    {
      workerClass,
      loadMs: footprint.loadMs ?? UNKNOWN_LOAD_MS,
      memoryBytes: footprint.memoryBytes ?? 0,
      loaded: members.filter((worker) => worker.replica(spec)?.state === 'ready').length,
      batches,
    },
  ];
}

function demandOf(stream: ForecastStream, task: RegisteredTask, missPicoUsd: number): Demand {
  const { key, sloMs, sloTarget, minAccuracy, tiers, requestsPerSecond, prefersAccuracy } = stream;
  const variants = allowedVariants(stream, task);
  return {
    id: key,
    task: stream.task,
    requestsPerSecond,
    sloMs,
    sloTarget,
    minAccuracy,
    tiers,
    // A request's deadline runs from when its head is here.
    network: ZERO,
    missPicoUsd,
    ...(prefersAccuracy && { accuracyPicoUsd: ACCURACY_SHARE * missPicoUsd }),
    ...(variants !== undefined && { variants }),
    // What pages answer themselves never comes here, so that what is counted is the rest already.
    pages: [],
  };
}

/** Names of the variants that a stream may be served by; undefined = all. */
function allowedVariants(
  { model, variant }: Pick<ForecastStream, 'model' | 'variant'>,
  task: RegisteredTask,
): readonly string[] | undefined {
  if (variant !== undefined) return [variant];
  if (model === undefined) return undefined;
  return task.variants.filter((entry) => entry.model === model).map((entry) => entry.variant);
}
