import { batchMs, type Instance, type InstanceClass, type InstanceRequest, mayServe } from './known-run.ts';

/** How one worker can have served a set: when it is free again, at which cost. */
interface Finish {
  readonly endMs: number;
  readonly usd: number;
}

/** More requests than this take too long: time grows with 3 to their number. */
export const EXACT_REQUESTS = 10;

/**
 * The least cost of every number of requests on time (its position), exactly: of each set of requests the undominated ends of
 * one worker that serves it, then the cheapest split of the sets among the workers, then the cheapest devices of the rest.
 * Batches hold requests that are on time alone: a late one that speeds a noisy batch up by more than its part is not looked for.
 * Callers must be different and need no download. Infinity = out of reach.
 */
export function exactCosts({ requests, classes }: Instance): number[] {
  const sets = 1 << requests.length;
  let served = new Float64Array(sets).fill(Number.POSITIVE_INFINITY);
  served[0] = 0;
  for (const entry of classes) {
    const alone = costsOfOne(requests, entry);
    for (let worker = 0; worker < entry.count; worker += 1) {
      const next = Float64Array.from(served);
      for (let all = 1; all < sets; all += 1) {
        for (let own = all; own > 0; own = (own - 1) & all) {
          next[all] = Math.min(next[all] ?? 0, (served[all ^ own] ?? 0) + (alone[own] ?? 0));
        }
      }
      served = next;
    }
  }
  const privateUsd = requests.map(({ arrivalMs, deadlineMs, privateWays }) =>
    Math.min(
      ...privateWays
        .filter((way) => arrivalMs + way.readyMs + way.timeMs <= deadlineMs)
        .map((way) => way.energyUsd),
    ),
  );
  const least = new Array<number>(requests.length + 1).fill(Number.POSITIVE_INFINITY);
  for (let set = 0; set < sets; set += 1) {
    const rest = privateUsd.filter((usd, index) => !(set & (1 << index)) && usd < Number.POSITIVE_INFINITY);
    let onTime = requests.filter((_, index) => set & (1 << index)).length;
    let usd = served[set] ?? 0;
    least[onTime] = Math.min(least[onTime] ?? 0, usd);
    for (const more of rest.sort((a, b) => a - b)) {
      onTime += 1;
      usd += more;
      least[onTime] = Math.min(least[onTime] ?? 0, usd);
    }
  }
  return least;
}

/** By set of requests (bits): the least cost of one worker that has all of it done in time. */
function costsOfOne(
  requests: readonly InstanceRequest[],
  { profiles, usdPerMs }: InstanceClass,
): Float64Array {
  const sets = 1 << requests.length;
  const finishes: Finish[][] = Array.from({ length: sets }, () => []);
  finishes[0]?.push({ endMs: Number.NEGATIVE_INFINITY, usd: 0 });
  const batches: { set: number; timeMs: number; usd: number; fromMs: number; untilMs: number }[] = [];
  for (let set = 1; set < sets; set += 1) {
    const members = requests.filter((_, index) => set & (1 << index));
    for (const profile of profiles) {
      if (members.length > profile.maxBatch || !members.every((member) => mayServe(profile, member)))
        continue;
      const timeMs = batchMs(profile, members);
      batches.push({
        set,
        timeMs,
        usd: timeMs * usdPerMs + members.reduce((sum, member) => sum + member.remoteUsd, 0),
        fromMs: Math.max(...members.map(({ releaseMs }) => releaseMs)),
        untilMs: Math.min(...members.map(({ dueMs }) => dueMs)),
      });
    }
  }
  for (let set = 0; set < sets; set += 1) {
    for (const finish of finishes[set] ?? []) {
      for (const batch of batches) {
        if (batch.set & set) continue;
        const endMs = Math.max(finish.endMs, batch.fromMs) + batch.timeMs;
        if (endMs <= batch.untilMs) {
          keep(finishes[set | batch.set] ?? [], { endMs, usd: finish.usd + batch.usd });
        }
      }
    }
  }
  return Float64Array.from(finishes, (entries) => Math.min(...entries.map(({ usd }) => usd)));
}

function keep(finishes: Finish[], added: Finish): void {
  if (finishes.some(({ endMs, usd }) => endMs <= added.endMs && usd <= added.usd)) return;
  const left = finishes.filter(({ endMs, usd }) => endMs < added.endMs || usd < added.usd);
  finishes.splice(0, finishes.length, ...left, added);
}
