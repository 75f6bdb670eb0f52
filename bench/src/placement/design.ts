/** Which mix of demands and callers a run has: a folder of `bench/scenarios/placement/`. */
export type MixName = 'base' | 'slo-20' | 'slo-50' | 'rtt-150' | 'all-pairs';

/** Where arrivals come from. */
export type TraceName =
  | 'twitter-peak'
  | 'twitter-trough'
  | 'azure-conversation'
  | 'gamma-1'
  | 'gamma-2'
  | 'gamma-4'
  | 'gamma-8';

/** A point of the matrix: everything that is varied. */
export interface Point {
  readonly mix: MixName;
  readonly trace: TraceName;
  /** Share of the capacity that is asked for; above 1 is overload. */
  readonly load: number;
  /** Share of the callers whose device can compute. */
  readonly browserShare: number;
  readonly egressUsdPerGb: number;
  /** Length of the run. */
  readonly seconds: number;
}

/** The highest steady rate that a fleet can serve, for a mix and a share of capable callers. */
export interface CapacityJob {
  readonly kind: 'capacity';
  readonly mix: MixName;
  readonly browserShare: number;
  readonly seconds: number;
}

/** The schedules of a clairvoyant on one point, with one seed; by itself, since it takes longest and depends on no policy. */
export interface OptimumJob {
  readonly kind: 'optimum';
  readonly point: Point;
  readonly seed: number;
}

/** Every policy on one point, with one seed. */
export interface PlaceJob {
  readonly kind: 'place';
  readonly point: Point;
  readonly seed: number;
}

/** The smallest static fleets of policies that do not scale, against the mesh. */
export interface FleetJob {
  readonly kind: 'fleet';
  readonly point: Point;
  readonly seed: number;
}

/** One policy on the whole Twitter day. */
export interface DayJob {
  readonly kind: 'day';
  readonly policy: string;
  /** Multiplies the rate of the day. */
  readonly scale: number;
  readonly seed: number;
}

/** Work that depends on nothing but itself and, but for a capacity, on the capacity of its mix. */
export type Job = CapacityJob | OptimumJob | PlaceJob | FleetJob | DayJob;

/** What is run, in the order in which it is run: when it is cut short, fewer seeds are there, but each is whole. */
export interface Design {
  readonly capacities: readonly CapacityJob[];
  readonly jobs: readonly Job[];
}

/** What points have where nothing else is said. The egress price is that of Fly.io in Europe and North America. */
const BASE: Omit<Point, 'trace' | 'load'> = {
  mix: 'base',
  browserShare: 0.3,
  egressUsdPerGb: 0.02,
  seconds: 10,
};
export const TRACES: readonly TraceName[] = [
  'twitter-peak',
  'twitter-trough',
  'azure-conversation',
  'gamma-1',
  'gamma-2',
  'gamma-4',
  'gamma-8',
];
const OTHER_MIXES: readonly MixName[] = ['slo-20', 'slo-50', 'rtt-150', 'all-pairs'];
export const MIXES: readonly MixName[] = ['base', ...OTHER_MIXES];
export const LOADS = [0.3, 0.6, 0.9, 1.2];
const OTHER_BROWSER_SHARES = [0, 0.7];
const TRACES_OF_OTHER_SHARES: readonly TraceName[] = ['twitter-peak', 'azure-conversation', 'gamma-4'];
/** What R2 and a large cloud ask for. */
const OTHER_EGRESS_USD_PER_GB = [0, 0.09];
const LOADS_OF_OTHER_EGRESS = [0.6, 0.9];
/** What fleets are sized for: about what Twitter's day has on average, and a well used fleet. */
const FLEET_LOADS = [0.1, 0.6];
const FLEET_TRACES: readonly TraceName[] = ['twitter-peak', 'azure-conversation', 'gamma-1', 'gamma-4'];
const CAPACITY_SECONDS = 6;
const DAY_POLICIES = ['mesh', 'infaas', 'always-pool'];

/**
 * The whole design: each factor is varied around a base, since all of them crossed would take days. The base mix with every
 * trace at every load; with the other shares of capable callers at every load of three traces; the other mixes, which hold the
 * tight SLOs and the long round trips, at every load of the peak hour; the other egress prices at two loads. SLOs, round
 * trips and accuracy classes are mixed within each run, as they are on a real mesh; pairs that no worker can serve in time are
 * in one mix alone (`all-pairs`), since elsewhere they would hide what a policy does.
 */
export function fullDesign(seeds: readonly number[]): Design {
  const atEachLoad = (point: Omit<Point, 'load'>) => LOADS.map((load): Point => ({ ...point, load }));
  const points = [
    ...TRACES.flatMap((trace) => atEachLoad({ ...BASE, trace })),
    ...OTHER_BROWSER_SHARES.flatMap((browserShare) =>
      TRACES_OF_OTHER_SHARES.flatMap((trace) => atEachLoad({ ...BASE, browserShare, trace })),
    ),
    ...OTHER_MIXES.flatMap((mix) => atEachLoad({ ...BASE, mix, trace: 'twitter-peak' })),
    ...OTHER_EGRESS_USD_PER_GB.flatMap((egressUsdPerGb) =>
      LOADS_OF_OTHER_EGRESS.map(
        (load): Point => ({ ...BASE, browserShare: 0.7, egressUsdPerGb, trace: 'twitter-peak', load }),
      ),
    ),
  ];
  const fleets = [BASE.browserShare, ...OTHER_BROWSER_SHARES].flatMap((browserShare) =>
    FLEET_TRACES.flatMap((trace) =>
      FLEET_LOADS.map((load): Point => ({ ...BASE, browserShare, trace, load })),
    ),
  );
  const perSeed = seeds.flatMap((seed): Job[] => [
    ...points.flatMap((point) => placed(point, seed)),
    ...fleets.map((point): Job => ({ kind: 'fleet', point, seed })),
  ]);
  const [first = 1] = seeds;
  const day = DAY_POLICIES.map((policy): Job => ({ kind: 'day', policy, scale: 1, seed: first }));
  return withCapacities([...perSeed, ...day], CAPACITY_SECONDS);
}

/** A few points with one seed: whether everything works, not what is claimed. */
export function quickDesign(seed: number): Design {
  const quick = { ...BASE, seconds: 5 };
  return withCapacities(
    [
      ...placed({ ...quick, trace: 'gamma-1', load: 0.6 }, seed),
      ...placed({ ...quick, trace: 'gamma-4', load: 1.2 }, seed),
      { kind: 'fleet', point: { ...quick, trace: 'gamma-1', load: 0.3 }, seed },
    ],
    2,
  );
}

/** A point's policies and its optimum. */
function placed(point: Point, seed: number): Job[] {
  return [
    { kind: 'place', point, seed },
    { kind: 'optimum', point, seed },
  ];
}

/** Jobs with the capacities that they need, each once. */
export function withCapacities(jobs: readonly Job[], seconds: number): Design {
  const capacities = new Map<string, CapacityJob>();
  for (const job of jobs) {
    if (!('point' in job)) continue;
    const capacity = capacityOf(job.point, seconds);
    capacities.set(jobId(capacity), capacity);
  }
  return { capacities: [...capacities.values()], jobs };
}

/** The capacity that a point's load is a share of. */
export function capacityOf({ mix, browserShare }: Point, seconds: number): CapacityJob {
  return { kind: 'capacity', mix, browserShare, seconds };
}

/** The name of a job in the results file: the same for the same work. */
export function jobId(job: Job): string {
  switch (job.kind) {
    case 'capacity':
      return `capacity ${job.mix} browsers-${job.browserShare} ${job.seconds}s`;
    case 'day':
      return `day ${job.policy} scale-${job.scale} seed-${job.seed}`;
    default:
      return `${job.kind} ${pointId(job.point)} seed-${job.seed}`;
  }
}

/** The name of a point, without the seed. */
export function pointId({ mix, trace, load, browserShare, egressUsdPerGb, seconds }: Point): string {
  return `${mix} ${trace} load-${load} browsers-${browserShare} egress-${egressUsdPerGb} ${seconds}s`;
}
