import { pointId } from './design.ts';
import type {
  CapacityRecord,
  DayRecord,
  FleetRecord,
  JobRecord,
  OptimumRecord,
  PlaceRecord,
} from './records.ts';
import { costAt } from './run-optimum.ts';

/** A point's policies beside its optimum. */
export interface JudgedPoint extends PlaceRecord {
  /** The most that a clairvoyant has on time; never less than any policy. */
  readonly mostAttainment: number;
  /** The least that a clairvoyant pays for as many on time as the mesh has; never more than any policy. */
  readonly clairvoyantUsd: number;
}

/** What was run with one seed. A kind of which other seeds have more is empty: it was cut short. */
export interface SeedRecords {
  readonly place: readonly PlaceRecord[];
  /** Points whose optimum is known. */
  readonly judged: readonly JudgedPoint[];
  readonly fleet: readonly FleetRecord[];
}

/** The records of a run, those with seeds by their seed. */
export function sorted(records: readonly JobRecord[]): {
  readonly seeds: readonly SeedRecords[];
  readonly capacities: readonly CapacityRecord[];
  readonly days: readonly DayRecord[];
} {
  const capacities: CapacityRecord[] = [];
  const days: DayRecord[] = [];
  const optima = new Map<string, OptimumRecord>();
  const bySeed = new Map<number, { place: PlaceRecord[]; fleet: FleetRecord[] }>();
  const ofSeed = (seed: number) => {
    const found = bySeed.get(seed) ?? { place: [], fleet: [] };
    bySeed.set(seed, found);
    return found;
  };
  for (const record of records) {
    if (isOf('capacity', record)) capacities.push(record);
    else if (isOf('day', record)) days.push(record);
    else if (isOf('optimum', record)) optima.set(key(record), record);
    else if (isOf('place', record)) ofSeed(record.job.seed).place.push(record);
    else if (isOf('fleet', record)) ofSeed(record.job.seed).fleet.push(record);
  }
  const seeds = [...bySeed.values()].map(({ place, fleet }) => ({
    place,
    judged: place.flatMap((record) => {
      const optimum = optima.get(key(record));
      return optimum === undefined ? [] : [besideOptimum(record, optimum)];
    }),
    fleet,
  }));
  const most = (kind: keyof SeedRecords) => Math.max(0, ...seeds.map((seed) => seed[kind].length));
  const [mostPlace, mostJudged, mostFleet] = [most('place'), most('judged'), most('fleet')];
  return {
    capacities,
    days,
    seeds: seeds.map(({ place, judged, fleet }) => ({
      place: place.length === mostPlace ? place : [],
      judged: judged.length === mostJudged ? judged : [],
      fleet: fleet.length === mostFleet ? fleet : [],
    })),
  };
}

function isOf<Kind extends JobRecord['job']['kind']>(
  kind: Kind,
  record: JobRecord,
): record is Extract<JobRecord, { readonly job: { readonly kind: Kind } }> {
  return record.job.kind === kind;
}

function key({ job }: PlaceRecord | OptimumRecord): string {
  return `${pointId(job.point)} ${job.seed}`;
}

/** The clairvoyant knows the runs of all policies too, so that it is never worse than any of them. */
function besideOptimum(place: PlaceRecord, { curve }: OptimumRecord): JudgedPoint {
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
