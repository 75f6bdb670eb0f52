import { EXACT_REQUESTS, exactCosts } from './exact-costs.ts';
import type { Instance } from './known-run.ts';
import { listSchedule } from './list-schedule.ts';
import { searchedSchedule } from './searched-schedule.ts';

/** What a schedule reaches, and its busy time, egress, requests and energy. */
export interface Reached {
  readonly onTime: number;
  readonly marginalUsd: number;
}

/**
 * The best schedule that was found knowing all arrivals and all noise: most on time, then the least cost; with
 * `atLeastOnTime` the least cost with that many on time, or, where none was found, the most that was. Exact up to 10 requests of
 * different callers without downloads; above, the best of the list schedules and of a search, without the dearest parts that nobody asked for,
 * and of `known`: what schedules that were carried out reached, so that it is never worse than any of them.
 */
export function clairvoyant(
  instance: Instance,
  {
    atLeastOnTime,
    known = [],
  }: { readonly atLeastOnTime?: number; readonly known?: readonly Reached[] } = {},
): Reached {
  const found = isExact(instance)
    ? exactCosts(instance).map((marginalUsd, onTime) => ({ onTime, marginalUsd }))
    : [
        ...(['patient', 'eager', 'sparing'] as const).map((patience) => listSchedule(instance, patience)),
        searchedSchedule(instance),
      ].map((served) => trimmed(served, atLeastOnTime));
  const reachable = [{ onTime: 0, marginalUsd: 0 }, ...found, ...known].filter(
    ({ marginalUsd }) => marginalUsd < Number.POSITIVE_INFINITY,
  );
  const most = Math.max(...reachable.map(({ onTime }) => onTime));
  const wanted = Math.min(most, atLeastOnTime ?? most);
  return reachable
    .filter(({ onTime }) => onTime >= wanted)
    .reduce((best, entry) => (entry.marginalUsd < best.marginalUsd ? entry : best));
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

/** Leaves the dearest batches undone as long as enough are on time without them. */
function trimmed(
  served: readonly { readonly requests: number; readonly usd: number }[],
  atLeastOnTime = Number.POSITIVE_INFINITY,
): Reached {
  let onTime = served.reduce((sum, { requests }) => sum + requests, 0);
  let marginalUsd = served.reduce((sum, { usd }) => sum + usd, 0);
  const dearest = served
    .filter(({ requests }) => requests > 0)
    .sort((a, b) => b.usd / b.requests - a.usd / a.requests);
  for (const { requests, usd } of dearest) {
    if (onTime - requests < atLeastOnTime) continue;
    onTime -= requests;
    marginalUsd -= usd;
  }
  return { onTime, marginalUsd };
}
