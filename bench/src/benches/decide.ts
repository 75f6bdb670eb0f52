import {
  CalibrationBook,
  type CalibrationKey,
  type IndexChoice,
  type IndexedWorker,
  type IndexRequest,
  type OfferFacts,
  OfferList,
  PlacementIndex,
  type ReplicaName,
  resolveSpec,
  sumMoments,
} from '@nearfar/core';
import type { Bench } from '../bench.ts';
import { createUniform, STREAMS } from '../random.ts';
import { nearestRank } from '../simulator/result.ts';
import { measurePlans } from './plan.ts';

const DECISIONS = 100_000;
const WARM_UP = 20_000;
const VARIANTS = 100;
const TASK = 'bench';
/** Decisions a second of simulated time: 1,000 workers of 2.5 ms a request at four fifths of what they can do would be more. */
const DECISIONS_PER_SECOND = 5_000;
const DEVICE_CLASSES = ['cpu:a', 'cpu:b', 'cuda:c', 'cuda:d'];
/** What the workers of a class that is behind have more to do than the others, in milliseconds. */
const BEHIND_MS = 1_000;
/** Round trips between coordinator and worker, in milliseconds. */
const LINKS_MS = [1, 3, 12];

/** How busy the fleet is: of an idle one the cheapest offer will do, of a busy one many have to be looked at. */
interface DecideLoad {
  readonly workers: number;
  /** Mean backlog that a worker reports, in milliseconds. */
  readonly backlogMs: number;
  /** How many device classes are a second behind, those with the cheapest offers first: they are passed over. Default 0. */
  readonly classesBehind?: number;
  /** Whether predictions are calibrated, and each answer changes by how much. Default false. */
  readonly isCalibrated?: boolean;
}

/** The times of single decisions, in microseconds, and how many offers each looked at on average. */
interface DecideTimes {
  readonly medianUs: number;
  readonly p99Us: number;
  readonly looks: number;
}

/**
 * Decides 100,000 times among workers that hold 100 variants each, all of them feasible by accuracy. Between decisions
 * every worker reports its load once a second of simulated time, and what was chosen is dispatched. Each decision is timed
 * by itself, garbage collection included; the median of an empty timing is subtracted.
 */
function timeDecisions(load: DecideLoad, seed: number): DecideTimes {
  const random = createUniform(seed, STREAMS.decisions);
  const variants: ReplicaName[] = Array.from({ length: VARIANTS }, (_, index) => ({
    task: TASK,
    variant: `variant-${index}`,
    revision: 1,
  }));
  const book = new CalibrationBook();
  const facts = new Map(
    DEVICE_CLASSES.map((deviceClass) => [
      deviceClass,
      new Map(variants.map(({ variant }) => [variant, makeFacts(variant, random)])),
    ]),
  );
  const list = new OfferList(variants, ({ variant }, { tier, deviceClass, speed }) => {
    const made = facts.get(deviceClass)?.get(variant);
    if (made === undefined) throw new RangeError(`Expected ${variant} to be known on ${deviceClass}`);
    if (load.isCalibrated !== true) return made;
    return { ...made, calibration: book.live(keyOf(variant, tier, deviceClass), speed) };
  });
  const behind = new Set(byCheapestOffer(facts).slice(0, load.classesBehind ?? 0));
  const index = new PlacementIndex();
  const workers = Array.from({ length: load.workers }, (_, worker) => workerOf(worker, variants));
  for (const worker of workers) index.setWorker(worker);
  // Some workers are slower than their like.
  const byId = new Map(
    workers.map((worker, number) => [worker.id, { worker, slower: 1 + (number % 7) / 50 }]),
  );
  const network = { meanMs: 5, varianceMs2: 4 };
  const specs = [20, 50, 100, 300].map((sloMs) => resolveSpec({ slo_ms: sloMs, min_accuracy: 0.8 }, {}));
  const reportsPerDecision = load.workers / DECISIONS_PER_SECOND;
  let owedReports = 0;
  let reporter = 0;
  let nowMs = 0;
  const times = new Float64Array(DECISIONS);
  let looksBefore = 0;
  for (let round = -WARM_UP; round < DECISIONS; round += 1) {
    if (round === 0) looksBefore = index.looks;
    nowMs += 1_000 / DECISIONS_PER_SECOND;
    for (owedReports += reportsPerDecision; owedReports >= 1; owedReports -= 1) {
      const backlogMs =
        (behind.has(classOf(reporter)) ? BEHIND_MS : 0) - Math.log(1 - random()) * load.backlogMs;
      index.setQueue(workers[reporter]?.id ?? '', nowMs + backlogMs, nowMs, nowMs);
      reporter = (reporter + 1) % workers.length;
    }
    const spec = specs[Math.floor(random() * specs.length)] ?? resolveSpec({}, {});
    const request: IndexRequest = { spec, elapsedMs: random(), nowMs, network };
    const choice = timeOne(index, list, request, times, Math.max(0, round));
    if (choice.kind === 'none' || load.isCalibrated !== true) continue;
    const { offer, worker, wait } = choice;
    const { tier, deviceClass, link } = offer.group.facts;
    const predicted = sumMoments([network, link, wait, offer.compute]);
    const known = byId.get(worker);
    if (known === undefined) throw new RangeError(`Expected "${worker}" to be a worker of the fleet`);
    const tookMs = predicted.meanMs * known.slower * Math.exp(0.2 * (random() + random() + random() - 1.5));
    book.observe(keyOf(offer.variant, tier, deviceClass), worker, predicted, tookMs);
    index.setWorker({ ...known.worker, speed: book.speed(worker) });
    const passed = choice.passedOver;
    if (passed !== undefined) {
      const { facts: place } = passed.offer.group;
      book.passedOver(keyOf(passed.offer.variant, place.tier, place.deviceClass), passed.worker);
    }
  }
  const emptyUs = emptyTimer();
  const sorted = times.toSorted();
  const at = (share: number) => Math.max(0, nearestRank(sorted, share) - emptyUs);
  return { medianUs: at(0.5), p99Us: at(0.99), looks: (index.looks - looksBefore) / DECISIONS };
}

/** By itself, so that the compiler treats it as it treats the coordinator's code, not as the inside of one long loop. */
function timeOne(
  index: PlacementIndex,
  list: OfferList,
  request: IndexRequest,
  times: Float64Array,
  at: number,
): IndexChoice {
  const startedAt = process.hrtime.bigint();
  const choice = index.choose(list, request);
  if (choice.kind !== 'none') index.dispatched(choice.worker, choice.offer.compute.meanMs, request.nowMs);
  times[at] = Number(process.hrtime.bigint() - startedAt) / 1_000;
  return choice;
}

type MadeFacts = Omit<OfferFacts, 'calibration'>;

function makeFacts(model: string, random: () => number): MadeFacts {
  const meanMs = 2 + 18 * random();
  const costPicoUsd = Math.round(meanMs * (20_000 + 200_000 * random()));
  return {
    model,
    accuracy: 0.8 + 0.19 * random(),
    compute: { meanMs, varianceMs2: (meanMs / 5) ** 2 },
    costPicoUsd,
    worstCostPicoUsd: 3 * costPicoUsd,
    pricePicoUsd: Math.round(costPicoUsd * random()),
  };
}

/** The device classes in the order of their cheapest offers. */
function byCheapestOffer(facts: ReadonlyMap<string, ReadonlyMap<string, MadeFacts>>): string[] {
  const cheapest = (offers: ReadonlyMap<string, MadeFacts>) =>
    Math.min(...[...offers.values()].map(({ costPicoUsd, pricePicoUsd }) => costPicoUsd + pricePicoUsd));
  return [...facts].toSorted(([, a], [, b]) => cheapest(a) - cheapest(b)).map(([deviceClass]) => deviceClass);
}

function workerOf(number: number, ready: readonly ReplicaName[]): IndexedWorker {
  const deviceClass = classOf(number);
  const linkMs = LINKS_MS[Math.floor(number / DEVICE_CLASSES.length) % LINKS_MS.length] ?? 0;
  return {
    id: `worker-${number}`,
    tier: deviceClass.startsWith('cuda') ? 'pool' : 'edge',
    deviceClass,
    usdPerHour: 0.8,
    link: { meanMs: linkMs, varianceMs2: (linkMs / 4) ** 2 },
    speed: undefined,
    ready,
  };
}

function keyOf(variant: string, tier: string, deviceClass: string): CalibrationKey {
  return { task: TASK, variant, revision: 1, tier, deviceClass };
}

function classOf(worker: number): string {
  return DEVICE_CLASSES[worker % DEVICE_CLASSES.length] ?? '';
}

/**
 * Lets the young generation of the heap grow to its full size, as it has in a process that runs for a while: the first touch
 * of a page of memory takes longer than a decision.
 */
function growHeap(): number {
  // It grows by what survives, so some of it is kept for a while.
  let kept: { round: number }[] = [];
  for (let round = 0; round < 8_000_000; round += 1) {
    if (round % 1_000_000 === 0) kept = [];
    kept.push({ round });
  }
  return kept.length;
}

/** Median of timing nothing, in microseconds. */
function emptyTimer(): number {
  const times = new Float64Array(10_000);
  for (let round = 0; round < times.length; round += 1) {
    const startedAt = process.hrtime.bigint();
    times[round] = Number(process.hrtime.bigint() - startedAt) / 1_000;
  }
  return nearestRank(times.toSorted(), 0.5);
}

/** `nearfar bench decide`. */
export const decideBench: Bench = {
  name: 'decide',
  description: 'Time of one placement among up to 10,000 workers with 100 variants each, and of a plan',
  run: async ({ seed, say }) => {
    growHeap();
    const of = (name: string, load: DecideLoad) => {
      // Twice: while it runs for the first time, the compiler still makes up its mind about what is worth its work.
      timeDecisions(load, seed);
      const times = timeDecisions(load, seed);
      const { medianUs, p99Us, looks } = times;
      say(
        `${name}: median ${medianUs.toFixed(2)} µs, p99 ${p99Us.toFixed(2)} µs, ${looks.toFixed(1)} offers weighed`,
      );
      return times;
    };
    const small = of('100 workers', { workers: 100, backlogMs: 5 });
    const middle = of('1,000 workers', { workers: 1_000, backlogMs: 5 });
    const large = of('10,000 workers', { workers: 10_000, backlogMs: 5 });
    const classesBehind = DEVICE_CLASSES.length - 1;
    const busy = of('1,000 workers, three classes of four far behind', {
      workers: 1_000,
      backlogMs: 5,
      classesBehind,
    });
    const calibrated = of('1,000 workers, calibrated', { workers: 1_000, backlogMs: 5, isCalibrated: true });
    const calibratedBusy = of('1,000 workers, calibrated, three classes of four far behind', {
      workers: 1_000,
      backlogMs: 5,
      classesBehind,
      isCalibrated: true,
    });
    const overload = of('1,000 workers, all far behind', {
      workers: 1_000,
      backlogMs: 5,
      classesBehind: DEVICE_CLASSES.length,
    });
    const { plan_ms_200x30, plan_gap_200x30 } = await measurePlans({ seed, say });
    return {
      median_us_1000x100: middle.medianUs,
      p99_us_1000x100: middle.p99Us,
      p99_growth_100_to_10000: large.p99Us / small.p99Us,
      plan_ms_200x30,
      plan_gap_200x30,
      median_us_100x100: small.medianUs,
      p99_us_100x100: small.p99Us,
      median_us_10000x100: large.medianUs,
      p99_us_10000x100: large.p99Us,
      offers_seen_1000x100: middle.looks,
      median_us_1000x100_busy: busy.medianUs,
      p99_us_1000x100_busy: busy.p99Us,
      offers_seen_1000x100_busy: busy.looks,
      median_us_1000x100_calibrated: calibrated.medianUs,
      p99_us_1000x100_calibrated: calibrated.p99Us,
      offers_seen_1000x100_calibrated: calibrated.looks,
      median_us_1000x100_calibrated_busy: calibratedBusy.medianUs,
      p99_us_1000x100_calibrated_busy: calibratedBusy.p99Us,
      offers_seen_1000x100_calibrated_busy: calibratedBusy.looks,
      median_us_1000x100_overload: overload.medianUs,
      p99_us_1000x100_overload: overload.p99Us,
      offers_seen_1000x100_overload: overload.looks,
    };
  },
};
