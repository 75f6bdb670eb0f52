import type { Prices } from '@nearfar/protocol';
import { mesh } from '../policies/mesh.ts';
import type { Quantiles } from '../profile-table.ts';
import { normalAt, STREAMS } from '../random.ts';
import type { FleetClass, ProfileRow, Scenario } from '../scenario/scenario.ts';
import { callerFacts, type Workload } from '../scenario/workload.ts';
import { simulate } from '../simulator/simulate.ts';
import type { Demands, EndedRequest } from './requests.ts';

/** What was measured of the live mesh and its machine. */
export interface MeasuredMesh {
  readonly demands: Demands;
  /** 0 to 1. */
  readonly accuracy: number;
  readonly payloadBytes: number;
  readonly poolWorkers: number;
  /** What a request keeps a worker, or the page, busy for, where nothing else runs. */
  readonly worker: Quantiles;
  readonly page: Quantiles;
  /** What the mesh and the page take a run to last, as a multiple of that: they have profiles of their own. */
  readonly believedTimes: { readonly worker: number; readonly page: number };
  /** Of the model and its runtime, as a page downloads them. */
  readonly downloadBytes: number;
  /** What a request takes beyond its run, over plain HTTP and from the page. */
  readonly httpMs: number;
  readonly fromPageMs: number;
  readonly prices: Prices;
}

const MACHINE = 'machine';
const WORKER_CLASS = 'worker';
const PAGE_CLASS = 'page';
const VARIANT = 'variant';
/** Of an answer with the scores of a few pictures; only its price rests on it. */
const ANSWER_BYTES = 1_000;
/** Until a page has compiled what it downloads; it does so before the first request is compared. */
const LOAD_MS = 100;
/** Callers are drawn by the scenario's shares: among so many there is one of each kind. */
const MOST_CALLERS = 10_000;

/**
 * The same requests in the simulator: sent when they were sent live, under the policy of the mesh, to workers and a page that
 * share one machine.
 *
 * @param slowdown of computations on that machine, as of a scenario's machine.
 */
export function simulateReplay(
  measured: MeasuredMesh,
  requests: readonly Pick<EndedRequest, 'arrivalMs' | 'sentMs' | 'isOfPage'>[],
  slowdown: readonly number[],
  seed: number,
): EndedRequest[] {
  const scenario = scenarioOf(measured, requests, slowdown, seed);
  const ended: (EndedRequest | undefined)[] = requests.map(() => undefined);
  const { worker, page } = measured.believedTimes;
  const believedTimes = { [WORKER_CLASS]: worker, [PAGE_CLASS]: page };
  simulate(scenario, mesh(scenario, { believedTimes }), {
    workload: workloadOf(scenario, measured.demands, requests),
    onEnded({ index }, { kind, tier, latencyMs, isOnTime, serviceMs }) {
      const request = requests[index];
      if (request === undefined) throw new RangeError(`Expected ${index} to be a request`);
      const { arrivalMs, sentMs, isOfPage } = request;
      const answered = kind === 'answered' ? tier : undefined;
      ended[index] = { arrivalMs, sentMs, isOfPage, latencyMs, isOnTime, serviceMs, tier: answered };
    },
  });
  return ended.flatMap((request) => request ?? []);
}

/** The scenario of a live mesh: one task, an edge worker and pool workers of one class, and one page, on one machine. */
export function scenarioOf(
  measured: MeasuredMesh,
  requests: readonly Pick<EndedRequest, 'sentMs'>[],
  slowdown: readonly number[],
  seed: number,
): Scenario {
  const { demands, prices, payloadBytes } = measured;
  const { task, sloMs, pageSloMs, sloTarget, minAccuracy } = demands;
  const lastMs = requests.at(-1)?.sentMs ?? 0;
  return {
    seed,
    name: 'fidelity',
    durationMs: Math.max(1, lastMs),
    windowSeconds: 10,
    tasks: [
      {
        task,
        // The request's own deadline is its caller's; this one decides what is fast enough for a page to have.
        sloMs: Math.max(sloMs, pageSloMs),
        sloTarget,
        minAccuracy,
        prefer: 'cost',
        payloadBytes,
        answerBytes: ANSWER_BYTES,
        arrivals: requests.map(({ sentMs }) => ({ arrivalMs: sentMs })),
      },
    ],
    profiles: [profileOf(measured, WORKER_CLASS), profileOf(measured, PAGE_CLASS)],
    fleet: [
      fleetClass('edge', 1, prices.edge.usdPerCpuHour),
      fleetClass('pool', measured.poolWorkers, prices.pool.usdPerHour.cpu),
    ],
    browsers: {
      deviceClasses: [{ deviceClass: PAGE_CLASS, share: 0.5, machine: MACHINE }],
      requestsPerCaller: prices.browser.expectedReuse,
      energyUsdPerHour: prices.browser.energyUsdPerHour,
      cachedShare: 0,
      callersAtOnce: 2,
    },
    network: {
      rtts: [
        { rttMs: measured.httpMs, share: 0.5 },
        { rttMs: measured.fromPageMs, share: 0.5 },
      ],
      bytesPerMs: Number.POSITIVE_INFINITY,
    },
    machines: [{ name: MACHINE, slowdown }],
    egressUsdPerGb: prices.egress.answersUsdPerGb,
    requestUsdPerMillion: 0,
  };
}

function profileOf(measured: MeasuredMesh, deviceClass: string): ProfileRow {
  const times = deviceClass === PAGE_CLASS ? measured.page : measured.worker;
  const { accuracy, demands, downloadBytes } = measured;
  const rest = { batch: 1, accuracy, loadMs: LOAD_MS, memoryBytes: 1, weightBytes: downloadBytes };
  return { task: demands.task, variant: VARIANT, deviceClass, ...times, ...rest };
}

function fleetClass(tier: 'edge' | 'pool', count: number, usdPerHour: number): FleetClass {
  const fixed = { count, min: count, max: count, startupMs: 0, memoryBytes: Number.POSITIVE_INFINITY };
  return { deviceClass: WORKER_CLASS, tier, usdPerHour, machine: MACHINE, ...fixed };
}

/** The requests as they were made, each by a caller of its kind, with service times by the scenario's seed. */
function workloadOf(
  scenario: Scenario,
  { sloMs, pageSloMs }: Demands,
  requests: readonly Pick<EndedRequest, 'sentMs' | 'isOfPage'>[],
): Workload {
  const [http, ofPage] = scenario.network.rtts;
  const plain = findCaller(scenario, http?.rttMs ?? 0, undefined);
  const page = findCaller(scenario, ofPage?.rttMs ?? 0, PAGE_CLASS);
  return {
    requests: requests.length,
    callers: 2,
    taskIndex: new Uint16Array(requests.length),
    arrivalMs: Float64Array.from(requests, ({ sentMs }) => sentMs),
    deadlineMs: Float64Array.from(
      requests,
      ({ sentMs, isOfPage }) => sentMs + (isOfPage ? pageSloMs : sloMs),
    ),
    caller: Uint32Array.from(requests, ({ isOfPage }) => (isOfPage ? page : plain)),
    score: Float64Array.from(requests, (_, index) => normalAt(scenario.seed, STREAMS.service, index)),
  };
}

/** The first caller to whom chance gave this round trip and this device. */
function findCaller(scenario: Scenario, rttMs: number, deviceClass: string | undefined): number {
  for (let caller = 0; caller < MOST_CALLERS; caller += 1) {
    const facts = callerFacts(scenario, caller);
    if (facts.rttMs === rttMs && facts.deviceClass === deviceClass) return caller;
  }
  throw new Error(
    `Expected a caller with ${rttMs} ms and ${deviceClass ?? 'no device'} among ${MOST_CALLERS}`,
  );
}
