import { pointId } from './design.ts';
import { intervalOf } from './interval.ts';
import type {
  CapacityRecord,
  DayRecord,
  Figures,
  FleetRecord,
  JobRecord,
  OptimumRecord,
  PlaceRecord,
} from './records.ts';
import { costAt } from './run-optimum.ts';

/** A figure that is asked for. */
export interface Target {
  readonly metric: string;
  readonly asked: 'at most' | 'at least';
  readonly value: number;
  readonly words: string;
}

/** What the placement is held to. */
export const TARGETS: readonly Target[] = [
  {
    metric: 'attainment_gap_points',
    asked: 'at most',
    value: 0.5,
    words: 'attainment below the clairvoyant one, points',
  },
  {
    metric: 'cost_over_clairvoyant',
    asked: 'at most',
    value: 1.1,
    words: 'judged cost over the clairvoyant one at the same attainment',
  },
  {
    metric: 'infaas_violations_over_mesh',
    asked: 'at least',
    value: 1.6,
    words: 'violations of `infaas` over those of `mesh`, same fleet',
  },
  {
    metric: 'goodput_over_infaas_overload',
    asked: 'at least',
    value: 1.3,
    words: 'goodput over that of `infaas` at 1.2 of capacity',
  },
  ...(['clipper', 'tfserving'] as const).flatMap((baseline): Target[] => [
    {
      metric: `${baseline}_violations_over_mesh`,
      asked: 'at least',
      value: 1.5,
      words: `violations of \`${baseline}\` over those of \`mesh\`, on its smallest static fleet`,
    },
    {
      metric: `goodput_over_${baseline}_equal_cost`,
      asked: 'at least',
      value: 1.5,
      words: `goodput at 99 % over that of \`${baseline}\`, on its smallest static fleet`,
    },
  ]),
  {
    metric: 'always_pool_cost_over_mesh',
    asked: 'at least',
    value: 8.5,
    words:
      'cost of `always-pool` over that of `mesh`, each on its smallest static fleet, mean of the browser-rich mixes',
  },
];

/** What INFaaS reports as its best saving against a GPU for each model. */
const INFAAS_PUBLISHED_BEST_SAVING = 150;
const OVERLOAD = 1.2;

/** What a metric is for one seed; undefined where nothing was run that tells. */
type OfSeed = (records: SeedRecords) => number | undefined;

/** A point's policies beside its optimum. */
export interface PlacedPoint extends PlaceRecord {
  /** The most that a clairvoyant has on time; never less than any policy. */
  readonly mostAttainment: number;
  /** The least that a clairvoyant pays for as many on time as the mesh has; never more than any policy. */
  readonly clairvoyantUsd: number;
}

interface SeedRecords {
  readonly place: readonly PlacedPoint[];
  readonly fleet: readonly FleetRecord[];
}

/**
 * Flat metrics of a run. Each figure is worked out for each seed by itself, over all its points; what is given is the mean over
 * seeds with half of its 95 % t-interval (`_half_width_95`, absent with one seed), and for each target whether the mean meets it
 * (`_pass`, 1 or 0). Seeds with fewer points than others, as after an interrupted run, are left out.
 */
export function metricsOf(records: readonly JobRecord[]): Readonly<Record<string, number>> {
  const { seeds, capacities, days } = sorted(records);
  const metrics: Record<string, number> = { seeds: seeds.length };
  const [first] = seeds;
  metrics.place_points = first?.place.length ?? 0;
  metrics.fleet_points = first?.fleet.length ?? 0;
  for (const [metric, ofSeed] of figures(seeds)) {
    const values = seeds.map(ofSeed).filter((value) => value !== undefined);
    if (values.length === 0) continue;
    const { mean, halfWidth } = intervalOf(values);
    metrics[metric] = mean;
    if (Number.isFinite(halfWidth)) metrics[`${metric}_half_width_95`] = halfWidth;
    const target = TARGETS.find((entry) => entry.metric === metric);
    if (target !== undefined) metrics[`${metric}_pass`] = isMet(target, mean) ? 1 : 0;
  }
  const place = seeds.flatMap((seed) => seed.place);
  for (const [metric, value] of worst(place)) metrics[metric] = value;
  const savings = seeds.flatMap((seed) => seed.fleet.flatMap((record) => saving(record, 'costUsd') ?? []));
  if (savings.length > 0) {
    metrics.always_pool_cost_over_mesh_best = Math.max(...savings);
    metrics.infaas_published_best_saving = INFAAS_PUBLISHED_BEST_SAVING;
  }
  for (const { job, capacity } of capacities) {
    const name = `capacity_${job.mix.replaceAll('-', '_')}_browsers_${job.browserShare * 100}`;
    metrics[`${name}_per_s`] = capacity.perSecond;
    if (capacity.attainable < 1) metrics[`${name}_attainable`] = capacity.attainable;
  }
  for (const { job, requests, figures: figure } of days) {
    const name = `day_${job.policy.replaceAll('-', '_')}`;
    metrics.day_requests = requests;
    metrics[`${name}_attainment`] = figure.attainment;
    metrics[`${name}_cost_usd`] = figure.costUsd;
    metrics[`${name}_marginal_cost_usd`] = figure.marginalUsd;
  }
  return metrics;
}

/** Whether a value is what a target asks for. */
export function isMet({ asked, value }: Target, measured: number): boolean {
  return asked === 'at most' ? measured <= value : measured >= value;
}

/** Records by kind; those of seeds that are whole, by seed. */
export function sorted(records: readonly JobRecord[]): {
  readonly seeds: readonly SeedRecords[];
  readonly capacities: readonly CapacityRecord[];
  readonly days: readonly DayRecord[];
} {
  const capacities: CapacityRecord[] = [];
  const days: DayRecord[] = [];
  const optima = new Map<string, OptimumRecord>();
  for (const record of records) {
    if (record.job.kind !== 'optimum') continue;
    optima.set(`${pointId(record.job.point)} ${record.job.seed}`, record as OptimumRecord);
  }
  const bySeed = new Map<number, { place: PlacedPoint[]; fleet: FleetRecord[] }>();
  for (const record of records) {
    const { job } = record;
    if (job.kind === 'capacity') capacities.push(record as CapacityRecord);
    if (job.kind === 'day') days.push(record as DayRecord);
    if (job.kind !== 'place' && job.kind !== 'fleet') continue;
    const seed = bySeed.get(job.seed) ?? { place: [], fleet: [] };
    bySeed.set(job.seed, seed);
    if (job.kind === 'fleet') seed.fleet.push(record as FleetRecord);
    else {
      const optimum = optima.get(`${pointId(job.point)} ${job.seed}`);
      if (optimum !== undefined) seed.place.push(besideOptimum(record as PlaceRecord, optimum));
    }
  }
  const all = [...bySeed.values()];
  const points = ({ place, fleet }: SeedRecords) => place.length + fleet.length;
  const most = Math.max(0, ...all.map(points));
  return { seeds: all.filter((seed) => points(seed) === most), capacities, days };
}

/** The clairvoyant knows the runs of all policies too, so that it is never worse than any of them. */
function besideOptimum(place: PlaceRecord, { curve }: OptimumRecord): PlacedPoint {
  const { requests, policies } = place;
  const runs = Object.values(policies);
  const most = Math.max(curve.at(-1)?.onTime ?? 0, ...runs.map(({ attainment }) => attainment * requests));
  const { attainment: asked = 0 } = policies.mesh ?? {};
  const enough = runs.filter(({ attainment }) => attainment >= asked);
  const clairvoyantUsd = Math.min(
    costAt(curve, Math.round(asked * requests)),
    ...enough.map(({ marginalUsd }) => marginalUsd),
  );
  return { ...place, mostAttainment: most / requests, clairvoyantUsd };
}

function figures(seeds: readonly SeedRecords[]): [metric: string, ofSeed: OfSeed][] {
  const loads = [...new Set(seeds.flatMap(({ place }) => place.map(({ job }) => job.point.load)))].sort();
  const atLoad = (load: number) => `at_${Math.round(load * 100)}_pct`;
  return [
    ['attainment_mesh', ({ place }) => meanOf(place.map((record) => figuresIn(record, 'mesh').attainment))],
    ['attainment_clairvoyant', ({ place }) => meanOf(place.map(({ mostAttainment }) => mostAttainment))],
    ['attainment_gap_points', ({ place }) => meanOf(place.map((record) => gapPoints(record)))],
    [
      'share_of_points_within_0_5',
      ({ place }) => meanOf(place.map((record) => (gapPoints(record) <= 0.5 ? 1 : 0))),
    ],
    [
      'attainment_gap_points_informed',
      ({ place }) => meanOf(place.map((record) => gapPoints(record, 'informed'))),
    ],
    ['cost_over_clairvoyant', ({ place }) => meanOf(place.flatMap(costRatio))],
    ['clairvoyant_over_bound', ({ place }) => meanOf(place.flatMap(boundRatio))],
    ...loads.flatMap((load): [string, OfSeed][] => {
      const at = ({ place }: SeedRecords) => place.filter(({ job }) => job.point.load === load);
      return [
        [
          `attainment_gap_points_${atLoad(load)}`,
          (seed) => meanOf(at(seed).map((record) => gapPoints(record))),
        ],
        [`cost_over_clairvoyant_${atLoad(load)}`, (seed) => meanOf(at(seed).flatMap(costRatio))],
      ];
    }),
    ...(['infaas', 'infaas-dropping'] as const).flatMap((name): [string, OfSeed][] => {
      const word = name.replaceAll('-', '_');
      return [
        [`${word}_violations_over_mesh`, ({ place }) => violationRatio(place.filter(isServable), name)],
        [`goodput_over_${word}_overload`, ({ place }) => goodputRatio(place, name)],
      ];
    }),
    ...(['clipper', 'tfserving', 'always-pool'] as const).flatMap((name): [string, OfSeed][] => {
      const word = name.replaceAll('-', '_');
      return [
        [`${word}_violations_over_mesh`, ({ fleet }) => fleetViolationRatio(fleet, name)],
        [
          `goodput_over_${word}_equal_cost`,
          ({ fleet }) => meanOf(fleet.flatMap((record) => sustainedRatio(record, name))),
        ],
      ];
    }),
    [
      'always_pool_cost_over_mesh',
      ({ fleet }) => meanOf(fleet.filter(isBrowserRich).flatMap((record) => saving(record, 'costUsd') ?? [])),
    ],
    [
      'always_pool_marginal_cost_over_mesh',
      ({ fleet }) =>
        meanOf(fleet.filter(isBrowserRich).flatMap((record) => saving(record, 'marginalUsd') ?? [])),
    ],
    [
      'fleet_points_without_mesh_fleet',
      ({ fleet }) => (fleet.length === 0 ? undefined : fleet.filter(({ mesh }) => mesh === undefined).length),
    ],
  ];
}

function worst(place: readonly PlacedPoint[]): [metric: string, value: number][] {
  const byPoint = Map.groupBy(place, ({ job }) => pointId(job.point));
  const most = (value: (record: PlacedPoint) => number | undefined) => {
    const means = [...byPoint.values()].map((records) =>
      meanOf(records.flatMap((record) => value(record) ?? [])),
    );
    return Math.max(...means.filter((mean) => mean !== undefined));
  };
  if (place.length === 0) return [];
  return [
    ['attainment_gap_points_worst', most((record) => gapPoints(record))],
    ['cost_over_clairvoyant_worst', most((record) => costRatio(record)[0])],
    ['clairvoyant_over_bound_worst', most((record) => boundRatio(record)[0])],
  ];
}

/** Points of attainment that a policy lies below the clairvoyant schedule. */
export function gapPoints(record: PlacedPoint, policy = 'mesh'): number {
  return 100 * (record.mostAttainment - figuresIn(record, policy).attainment);
}

/** The mesh's judged cost over the clairvoyant's; none where that is 0. */
export function costRatio(record: PlacedPoint): number[] {
  const { clairvoyantUsd } = record;
  return clairvoyantUsd > 0 ? [figuresIn(record, 'mesh').marginalUsd / clairvoyantUsd] : [];
}

/** The clairvoyant's cost over the proven bound; none where that is 0. */
export function boundRatio({ clairvoyantUsd, boundUsd }: PlacedPoint): number[] {
  return boundUsd > 0 ? [clairvoyantUsd / boundUsd] : [];
}

/** Violations of a policy over those of the mesh, which count as at least one. */
export function violationRatio(place: readonly PlacedPoint[], policy: string): number | undefined {
  if (place.length === 0) return undefined;
  const of = (name: string) =>
    sum(place.map((record) => (1 - figuresIn(record, name).attainment) * record.requests));
  return of(policy) / Math.max(1, of('mesh'));
}

/** A policy's cost for each answer in time over the mesh's, each on its smallest static fleet; undefined without one of them. */
export function saving(
  { mesh, baselines }: FleetRecord,
  cost: 'costUsd' | 'marginalUsd',
  policy = 'always-pool',
): number | undefined {
  const baseline = baselines[policy]?.baseline.figures;
  if (mesh === undefined || baseline === undefined) return undefined;
  const each = (figure: Figures) => figure[cost] / figure.goodputPerSecond;
  return each(baseline) / each(mesh.figures);
}

function goodputRatio(place: readonly PlacedPoint[], policy: string): number | undefined {
  const overloaded = place.filter((record) => record.job.point.load >= OVERLOAD && isServable(record));
  if (overloaded.length === 0) return undefined;
  const of = (name: string) => sum(overloaded.map((record) => figuresIn(record, name).goodputPerSecond));
  return of('mesh') / of(policy);
}

function fleetViolationRatio(fleet: readonly FleetRecord[], policy: string): number | undefined {
  const compared = fleet.flatMap(({ baselines }) => baselines[policy] ?? []);
  if (compared.length === 0) return undefined;
  const of = (side: 'baseline' | 'mesh') => sum(compared.map((entry) => 1 - entry[side].figures.attainment));
  return of('baseline') / Math.max(1e-6, of('mesh'));
}

function sustainedRatio({ baselines }: FleetRecord, policy: string): number[] {
  const compared = baselines[policy];
  return compared === undefined ? [] : [compared.mesh.sustained / compared.baseline.sustained];
}

/** Whether every request of a mix can be served in time by somebody. */
function isServable({ job }: PlacedPoint): boolean {
  return job.point.mix !== 'all-pairs';
}

function isBrowserRich({ job }: FleetRecord): boolean {
  return job.point.browserShare > 0;
}

function figuresIn({ policies }: PlaceRecord, policy: string): Figures {
  const found = policies[policy];
  if (found === undefined) throw new RangeError(`Expected figures of "${policy}"`);
  return found;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function meanOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : sum(values) / values.length;
}
