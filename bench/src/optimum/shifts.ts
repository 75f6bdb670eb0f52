import type { Profile } from '../profile-table.ts';
import type { FleetClass, Scenario } from '../scenario/scenario.ts';
import { MS_PER_HOUR } from '../units.ts';
import { reachedBy, type ScheduledBatch, type Served } from './schedule.ts';

/** A stretch of time in which a worker is there for a schedule. */
export interface Shift {
  readonly spec: FleetClass;
  /** In the order in which they run. */
  readonly batches: readonly ScheduledBatch[];
  /** What it has to hold, in the order of first use. */
  readonly profiles: readonly Profile[];
  /** When it has to be started, so that it has joined and loaded all in time; 0 or less = there from the start. */
  readonly hireMs: number;
  /** When it may begin to drain: all it will run has reached it. Undefined = it stays. */
  readonly stopMs: number | undefined;
  /** When it has run everything. */
  readonly endMs: number;
}

/**
 * The shifts that a schedule of a scenario needs. The workers of fixed classes, and as many of an elastic one as it has at least,
 * are there all the time; any other is started for the first batch that it has, and let go when the next is so far away that
 * it can be started anew for it.
 */
export function shiftsOf({ fleet }: Scenario, served: readonly Served[]): Shift[] {
  const batches = served.filter((part) => part.kind === 'batch').sort((a, b) => a.startMs - b.startMs);
  const byClass = Map.groupBy(batches, ({ place }) => place.classIndex);
  return fleet.flatMap((spec, classIndex) => {
    const byNumber = Map.groupBy(byClass.get(classIndex) ?? [], ({ place }) => place.number);
    return [...byNumber].flatMap(([number, own]) =>
      number < spec.min ? [shiftOf(spec, own, true)] : split(own, spec),
    );
  });
}

/** What a schedule costs with the workers as provisioned, in a run of a scenario. */
export function provisionedUsdOf(scenario: Scenario, served: readonly Served[]): number {
  const { fleet, durationMs } = scenario;
  let usd = reachedBy(served).marginalUsd;
  for (const part of served) {
    const spec = part.kind === 'batch' ? fleet[part.place.classIndex] : undefined;
    if (part.kind !== 'batch' || spec === undefined) continue;
    usd -= ((part.endMs - part.startMs) * spec.usdPerHour) / MS_PER_HOUR;
  }
  for (const { min, usdPerHour } of fleet) usd += (min * durationMs * usdPerHour) / MS_PER_HOUR;
  for (const { spec, hireMs, stopMs, endMs } of shiftsOf(scenario, served)) {
    if (stopMs !== undefined) usd += ((endMs - Math.max(0, hireMs)) * spec.usdPerHour) / MS_PER_HOUR;
  }
  return usd;
}

function split(batches: readonly ScheduledBatch[], spec: FleetClass): Shift[] {
  const shifts: Shift[] = [];
  let own: ScheduledBatch[] = [];
  for (const batch of batches) {
    // As if the rest of the worker's batches were a shift: what it would have to hold is at most what it will.
    const alone = shiftOf(spec, [batch], false);
    const last = own.at(-1);
    if (last !== undefined && alone.hireMs > last.endMs) {
      shifts.push(shiftOf(spec, own, false));
      own = [];
    }
    own.push(batch);
  }
  if (own.length > 0) shifts.push(shiftOf(spec, own, false));
  return shifts;
}

function shiftOf(spec: FleetClass, batches: readonly ScheduledBatch[], isStanding: boolean): Shift {
  const profiles = [...new Set(batches.map(({ profile }) => profile))];
  const loadMs = profiles.reduce((sum, profile) => sum + profile.loadMs, 0);
  const firstArrivalMs = batches.reduce(
    (first, { members }) => members.reduce((least, { arrivalMs }) => Math.min(least, arrivalMs), first),
    Number.POSITIVE_INFINITY,
  );
  const startMs = batches[0]?.startMs ?? 0;
  const last = batches.at(-1);
  return {
    spec,
    batches,
    profiles,
    hireMs: isStanding ? 0 : Math.min(firstArrivalMs, startMs - loadMs) - spec.startupMs,
    stopMs: isStanding ? undefined : last?.startMs,
    endMs: last?.endMs ?? 0,
  };
}
