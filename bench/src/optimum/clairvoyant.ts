import { EXACT_REQUESTS, exactCosts } from './exact-costs.ts';
import type { Instance } from './known-run.ts';
import { listSchedule } from './list-schedule.ts';
import { type Reached, reachedBy, type Served, trimmed } from './schedule.ts';
import { searchedSchedule } from './searched-schedule.ts';

/**
 * The best schedule that was found knowing all arrivals and all noise: most on time, then the least cost; with
 * `atLeastOnTime` the least cost with that many on time, or, where none was found, the most that was. Exact up to 10 requests of
 * different callers without downloads; above, the best of the schedules of `candidateSchedules`.
 */
export function clairvoyant(
  instance: Instance,
  { atLeastOnTime }: { readonly atLeastOnTime?: number } = {},
): Reached {
  const found = isExact(instance)
    ? exactCosts(instance).map((marginalUsd, onTime) => ({ onTime, marginalUsd }))
    : [reachedBy(bestSchedule(candidateSchedules(instance), { atLeastOnTime }))];
  const reachable = [{ onTime: 0, marginalUsd: 0 }, ...found].filter(
    ({ marginalUsd }) => marginalUsd < Number.POSITIVE_INFINITY,
  );
  return bestOf(reachable, (entry) => entry, atLeastOnTime);
}

/**
 * Schedules that can be carried out, those of three list rules and of a search, each with all that callers' devices can do and
 * with what is worth its download. Takes a few seconds for ten thousand requests.
 */
export function candidateSchedules(instance: Instance): (readonly Served[])[] {
  return privateLimits(instance).flatMap((mostPrivateUsd) => [
    ...(['patient', 'eager', 'sparing'] as const).map((patience) =>
      listSchedule(instance, patience, mostPrivateUsd),
    ),
    searchedSchedule(instance, { mostPrivateUsd }),
  ]);
}

/**
 * Of some schedules the one with at least so many on time (absent: the most) that costs least, without the dearest parts that
 * nobody asked for. `costOf` says what a schedule is judged by; default: its marginal cost. Nothing of none.
 */
export function bestSchedule(
  candidates: readonly (readonly Served[])[],
  {
    atLeastOnTime,
    costOf,
  }: {
    readonly atLeastOnTime?: number | undefined;
    readonly costOf?: ((served: readonly Served[]) => number) | undefined;
  } = {},
): readonly Served[] {
  const entries = candidates.map((found) => {
    const served = atLeastOnTime === undefined ? found : trimmed(found, atLeastOnTime);
    const { onTime, marginalUsd } = reachedBy(served);
    return { served, reached: { onTime, marginalUsd: costOf?.(served) ?? marginalUsd } };
  });
  return entries.length === 0 ? [] : bestOf(entries, ({ reached }) => reached, atLeastOnTime).served;
}

/** What an answer of a caller's own device may cost: anything; and, where downloads cost, no more than the cheapest worker's. */
function privateLimits({ requests, classes }: Instance): ((task: string) => number)[] {
  const any = () => Number.POSITIVE_INFINITY;
  const isDear = requests.some(({ privateWays }) => privateWays.some(({ downloadUsd }) => downloadUsd > 0));
  if (!isDear) return [any];
  const cheapest = new Map<string, number>();
  for (const { profiles, usdPerMs, count } of classes) {
    for (const profile of count > 0 ? profiles : []) {
      const usd = (profile.service(profile.maxBatch).meanMs / profile.maxBatch) * usdPerMs;
      cheapest.set(profile.task, Math.min(usd, cheapest.get(profile.task) ?? usd));
    }
  }
  const remoteUsd = new Map(requests.map((request) => [request.task, request.remoteUsd]));
  return [any, (task) => (cheapest.get(task) ?? Number.POSITIVE_INFINITY) + (remoteUsd.get(task) ?? 0)];
}

/** The entry with at least so many on time (absent or more than there is: the most) that costs least. */
function bestOf<Entry>(
  entries: readonly Entry[],
  reach: (entry: Entry) => Reached,
  atLeastOnTime: number | undefined,
): Entry {
  const most = entries.reduce((best, entry) => Math.max(best, reach(entry).onTime), 0);
  const wanted = Math.min(most, atLeastOnTime ?? most);
  return entries
    .filter((entry) => reach(entry).onTime >= wanted)
    .reduce((best, entry) => (reach(entry).marginalUsd < reach(best).marginalUsd ? entry : best));
}

function isExact({ requests, classes }: Instance): boolean {
  return (
    requests.length <= EXACT_REQUESTS &&
    new Set(requests.map(({ caller }) => caller)).size === requests.length &&
    requests.every(({ privateWays }) => privateWays.every(({ downloadUsd }) => downloadUsd === 0)) &&
    classes.every(
      ({ profiles, memoryBytes }) =>
        profiles.reduce((sum, profile) => sum + profile.memoryBytes, 0) <= memoryBytes,
    )
  );
}
