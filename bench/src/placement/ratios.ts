import type { Figures, FleetRecord, PlaceRecord } from './records.ts';
import type { JudgedPoint } from './sorted-records.ts';

const OVERLOAD = 1.2;

/** Points of attainment that a policy lies below the clairvoyant schedule. */
export function gapPoints(record: JudgedPoint, policy = 'mesh'): number {
  return 100 * (record.mostAttainment - figuresIn(record, policy).attainment);
}

/** The mesh's judged cost over the clairvoyant's; none where that is 0. */
export function costRatio(record: JudgedPoint): number[] {
  const { clairvoyantUsd } = record;
  return clairvoyantUsd > 0 ? [figuresIn(record, 'mesh').marginalUsd / clairvoyantUsd] : [];
}

/** The clairvoyant's cost over the proven bound; none where that is 0. */
export function boundRatio({ clairvoyantUsd, boundUsd }: JudgedPoint): number[] {
  return boundUsd > 0 ? [clairvoyantUsd / boundUsd] : [];
}

/** Violations of a policy over those of the mesh, which count as at least one. */
export function violationRatio(place: readonly PlaceRecord[], policy: string): number | undefined {
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

/** The mesh's goodput over a policy's, over all points with more load than capacity. */
export function goodputRatio(place: readonly PlaceRecord[], policy: string): number | undefined {
  const overloaded = place.filter((record) => record.job.point.load >= OVERLOAD && isServable(record));
  if (overloaded.length === 0) return undefined;
  const of = (name: string) => sum(overloaded.map((record) => figuresIn(record, name).goodputPerSecond));
  return of('mesh') / of(policy);
}

/** Violations of a policy on its smallest static fleet over those of the mesh there, which count as at least one. */
export function fleetViolationRatio(fleet: readonly FleetRecord[], policy: string): number | undefined {
  const compared = fleet.flatMap(({ requests, baselines: { [policy]: entry } }) =>
    entry === undefined ? [] : [{ requests, ...entry }],
  );
  if (compared.length === 0) return undefined;
  const of = (side: 'baseline' | 'mesh') =>
    sum(compared.map(({ requests, ...entry }) => (1 - entry[side].figures.attainment) * requests));
  return of('baseline') / Math.max(1, of('mesh'));
}

/** How much more load than a policy the mesh takes on that one's fleet; none where it has no fleet. */
export function sustainedRatio({ baselines }: FleetRecord, policy: string): number[] {
  const compared = baselines[policy];
  return compared === undefined ? [] : [compared.mesh.sustained / compared.baseline.sustained];
}

/** Whether every request of a mix can be served in time by somebody. */
export function isServable({ job }: PlaceRecord): boolean {
  return job.point.mix !== 'all-pairs';
}

/** Whether callers can compute themselves at all. */
export function isBrowserRich({ job }: FleetRecord): boolean {
  return job.point.browserShare > 0;
}

/** What a policy did on a point. @throws RangeError when it was not run there. */
export function figuresIn({ policies }: PlaceRecord, policy: string): Figures {
  const found = policies[policy];
  if (found === undefined) throw new RangeError(`Expected figures of "${policy}"`);
  return found;
}

/** Sum; 0 of none. */
export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Mean; undefined of none. */
export function meanOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : sum(values) / values.length;
}
