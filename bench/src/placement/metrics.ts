import { pointId } from './design.ts';
import { intervalOf } from './interval.ts';
import {
  boundRatio,
  costRatio,
  figuresIn,
  fleetViolationRatio,
  gapPoints,
  goodputRatio,
  isBrowserRich,
  isServable,
  meanOf,
  saving,
  sustainedRatio,
  violationRatio,
} from './ratios.ts';
import type { JobRecord } from './records.ts';
import { type JudgedPoint, type SeedRecords, sorted } from './sorted-records.ts';

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
/** What a metric is for one seed; undefined where nothing was run that tells. */
type OfSeed = (records: SeedRecords) => number | undefined;

/**
 * Flat metrics of a run. Each figure is worked out for each seed by itself, over all its points; what is given is the mean over
 * seeds with half of its 95 % t-interval (`_half_width_95`, absent with one seed), and for each target whether the mean meets it
 * (`_pass`, 1 or 0). Seeds with fewer points than others, as after an interrupted run, are left out,
 * for each kind of job by itself.
 */
export function metricsOf(records: readonly JobRecord[]): Readonly<Record<string, number>> {
  const { seeds, capacities, days } = sorted(records);
  const metrics: Record<string, number> = {};
  for (const kind of ['place', 'judged', 'fleet'] as const) {
    const whole = seeds.filter((seed) => seed[kind].length > 0);
    metrics[`${kind}_seeds`] = whole.length;
    metrics[`${kind}_points`] = whole[0]?.[kind].length ?? 0;
  }
  for (const [metric, ofSeed] of figures(seeds)) {
    const values = seeds.map(ofSeed).filter((value) => value !== undefined);
    if (values.length === 0) continue;
    const { mean, halfWidth } = intervalOf(values);
    if (!Number.isFinite(mean)) continue;
    metrics[metric] = mean;
    if (Number.isFinite(halfWidth)) metrics[`${metric}_half_width_95`] = halfWidth;
    const target = TARGETS.find((entry) => entry.metric === metric);
    if (target !== undefined) metrics[`${metric}_pass`] = isMet(target, mean) ? 1 : 0;
  }
  const judged = seeds.flatMap((seed) => seed.judged);
  for (const [metric, value] of worst(judged)) metrics[metric] = value;
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

function figures(seeds: readonly SeedRecords[]): [metric: string, ofSeed: OfSeed][] {
  const loads = [...new Set(seeds.flatMap(({ judged }) => judged.map(({ job }) => job.point.load)))].sort();
  const atLoad = (load: number) => `at_${Math.round(load * 100)}_pct`;
  return [
    ['attainment_mesh', ({ place }) => meanOf(place.map((record) => figuresIn(record, 'mesh').attainment))],
    ['attainment_clairvoyant', ({ judged }) => meanOf(judged.map(({ mostAttainment }) => mostAttainment))],
    ['attainment_gap_points', ({ judged }) => meanOf(judged.map((record) => gapPoints(record)))],
    [
      'share_of_points_within_0_5',
      ({ judged }) => meanOf(judged.map((record) => (gapPoints(record) <= 0.5 ? 1 : 0))),
    ],
    [
      'attainment_gap_points_informed',
      ({ judged }) => meanOf(judged.map((record) => gapPoints(record, 'informed'))),
    ],
    ['cost_over_clairvoyant', ({ judged }) => meanOf(judged.flatMap(costRatio))],
    ['clairvoyant_over_bound', ({ judged }) => meanOf(judged.flatMap(boundRatio))],
    ...loads.flatMap((load): [string, OfSeed][] => {
      const at = ({ judged }: SeedRecords) => judged.filter(({ job }) => job.point.load === load);
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

function worst(place: readonly JudgedPoint[]): [metric: string, value: number][] {
  const byPoint = Map.groupBy(place, ({ job }) => pointId(job.point));
  const most = (value: (record: JudgedPoint) => number | undefined) => {
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
