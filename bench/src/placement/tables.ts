import { MIXES, type Point, TRACES } from './design.ts';
import { intervalOf } from './interval.ts';
import { isMet, metricsOf, TARGETS } from './metrics.ts';
import { boundRatio, costRatio, gapPoints, meanOf, saving } from './ratios.ts';
import type { FleetRecord, JobRecord, PlaceRecord } from './records.ts';
import { SIZED } from './run-fleet.ts';
import { type JudgedPoint, sorted } from './sorted-records.ts';

/** The tables of `docs/placement-results.md`, from the records of a run. */
export function renderTables(records: readonly JobRecord[]): string {
  const { seeds } = sorted(records);
  const place = seeds.flatMap((seed) => seed.place);
  const fleet = seeds.flatMap((seed) => seed.fleet);
  const metrics = metricsOf(records);
  return [
    `### Targets\n\n${targets(metrics)}`,
    `### Distance to the optimum\n\n${optimum(seeds.flatMap(({ judged }) => judged))}`,
    `### Policies on the same fleet\n\n${policies(place)}`,
    `### Smallest static fleets\n\n${fleets(fleet)}`,
    `### The whole day\n\n${day(records)}`,
    `### Capacity\n\n${capacities(records)}`,
  ].join('\n\n');
}

function targets(metrics: Readonly<Record<string, number>>): string {
  const rows = TARGETS.map((target) => {
    const measured = metrics[target.metric];
    const halfWidth = metrics[`${target.metric}_half_width_95`];
    const met = measured === undefined ? 'not run' : isMet(target, measured) ? 'yes' : '**no**';
    return [target.words, `${target.asked} ${target.value}`, withInterval(measured, halfWidth), met];
  });
  return table(['figure', 'asked for', 'measured', 'met'], rows);
}

function optimum(place: readonly JudgedPoint[]): string {
  const rows = grouped(place, ({ job: { point } }) => [point.mix, point.trace, percent(point.load, 0)]).map(
    ([names, records]) => {
      const over = (value: (record: JudgedPoint) => number | readonly number[]) => overSeeds(records, value);
      return [
        ...names,
        String(records.length),
        over((record) => (record.policies.mesh?.attainment ?? 0) * 100),
        over(({ mostAttainment }) => mostAttainment * 100),
        over((record) => gapPoints(record)),
        over(costRatio),
        over(boundRatio),
      ];
    },
  );
  const header = [
    'mix',
    'trace',
    'load',
    'runs',
    'mesh %',
    'clairvoyant %',
    'gap, points',
    'cost ÷ clairvoyant',
    'clairvoyant ÷ bound',
  ];
  return table(header, rows);
}

function policies(place: readonly PlaceRecord[]): string {
  const loads = [...new Set(place.map(({ job }) => job.point.load))].sort((a, b) => a - b);
  const names = [...new Set(place.flatMap((record) => Object.keys(record.policies)))];
  const rows = names.map((name) => [
    `\`${name}\``,
    ...loads.flatMap((load) => {
      const runs = place.flatMap(({ job, requests, policies: { [name]: found } }) =>
        job.point.load === load && found !== undefined ? [{ job, requests, ...found }] : [],
      );
      const onTime = runs.reduce((sum, { attainment, requests }) => sum + attainment * requests, 0);
      const usd = runs.reduce((sum, { marginalUsd }) => sum + marginalUsd, 0);
      return [overSeeds(runs, ({ attainment }) => attainment * 100), figure((usd / onTime) * 1e6)];
    }),
  ]);
  const header = loads.flatMap((load) => [`in time % at ${load}`, '$ per million']);
  return table(['policy', ...header], rows);
}

/** Over all traces: what the results file has of each would be too long a table. */
function fleets(fleet: readonly FleetRecord[]): string {
  const ordered = fleet.toSorted(({ job: { point: a } }, { job: { point: b } }) => {
    return a.load - b.load || a.browserShare - b.browserShare;
  });
  const groups = Map.groupBy(ordered, ({ job: { point } }) => `${point.load} ${point.browserShare}`);
  const rows = [...groups].flatMap(([name, records]) =>
    SIZED.map((policy) => {
      const compared = records.flatMap(({ job, baselines: { [policy]: entry } }) =>
        entry === undefined ? [] : [{ job, ...entry }],
      );
      return [
        ...name.split(' '),
        `\`${policy}\``,
        overSeeds(compared, ({ baseline }) => baseline.figures.attainment * 100),
        overSeeds(compared, ({ mesh }) => mesh.figures.attainment * 100),
        overSeeds(compared, ({ mesh, baseline }) => mesh.sustained / baseline.sustained),
        overSeeds(records, (record) => saving(record, 'costUsd', policy) ?? []),
        overSeeds(records, (record) => saving(record, 'marginalUsd', policy) ?? []),
      ];
    }),
  );
  const header = [
    'load',
    'capable',
    'policy',
    'in time %',
    'mesh on its fleet %',
    'load that the mesh takes there ÷ its own',
    'cost ÷ mesh',
    'marginal cost ÷ mesh',
  ];
  return table(header, rows);
}

function day(records: readonly JobRecord[]): string {
  const { days } = sorted(records);
  if (days.length === 0) return 'Not run.';
  const rows = days.map(({ job, requests, figures }) => [
    `\`${job.policy}\``,
    String(requests),
    figure(figures.attainment * 100),
    figure(figures.costUsd),
    figure(figures.marginalUsd),
    percent(figures.browserShare, 1),
  ]);
  return table(['policy', 'requests', 'in time %', 'cost $', 'marginal cost $', 'in the browser'], rows);
}

function capacities(records: readonly JobRecord[]): string {
  const rows = sorted(records).capacities.map(({ job, capacity }) => [
    job.mix,
    percent(job.browserShare, 0),
    figure(capacity.perSecond),
    percent(capacity.attainable, 2),
  ]);
  return table(['mix', 'capable', 'requests a second', 'attainable'], rows);
}

/** Records by what they are called, in the order of their points: mix, trace, load, capable callers. */
function grouped<Entry extends { readonly job: { readonly point: Point } }>(
  entries: readonly Entry[],
  names: (entry: Entry) => readonly string[],
): [readonly string[], readonly Entry[]][] {
  const ordered = entries.toSorted(({ job: { point: a } }, { job: { point: b } }) => {
    const mix = MIXES.indexOf(a.mix) - MIXES.indexOf(b.mix);
    const trace = TRACES.indexOf(a.trace) - TRACES.indexOf(b.trace);
    return mix || trace || a.load - b.load || a.browserShare - b.browserShare;
  });
  const groups = Map.groupBy(ordered, (entry) => names(entry).join('\u0000'));
  return [...groups].map(([key, group]) => [key.split('\u0000'), group]);
}

/** The mean of what records say, with the interval over seeds: each seed counts as the mean of its own records. */
function overSeeds<Entry extends { readonly job: { readonly seed: number } }>(
  entries: readonly Entry[],
  value: (entry: Entry) => number | readonly number[],
): string {
  const bySeed = Map.groupBy(entries, ({ job }) => job.seed);
  const means = [...bySeed.values()].flatMap((own) => meanOf(own.flatMap(value)) ?? []);
  const { mean, halfWidth } = intervalOf(means);
  return withInterval(means.length === 0 ? undefined : mean, halfWidth);
}

function withInterval(value: number | undefined, halfWidth = Number.POSITIVE_INFINITY): string {
  if (value === undefined) return '';
  return Number.isFinite(halfWidth) ? `${figure(value)} ± ${figure(halfWidth, 2)}` : figure(value);
}

function figure(value: number, digits = 4): string {
  return String(Number(value.toPrecision(digits)));
}

function percent(share: number, digits: number): string {
  return `${(share * 100).toFixed(digits)} %`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}
