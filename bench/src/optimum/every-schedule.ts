import { batchMs, type Instance, type InstanceRequest, mayServe } from './known-run.ts';

/**
 * The least cost of every number of requests on time (its position), by trying every sequence of batches on every worker: the
 * yardstick of the tests, for at most 8 requests of different callers that need no download. Infinity = out of reach.
 */
export function bruteForce({ requests, classes }: Instance): number[] {
  const least = new Array<number>(requests.length + 1).fill(Number.POSITIVE_INFINITY);
  const workers = classes.flatMap((entry) => Array.from({ length: entry.count }, () => entry));
  const finish = (left: readonly InstanceRequest[], position: number, onTime: number, usd: number): void => {
    const request = left[position];
    if (request === undefined) {
      least[onTime] = Math.min(least[onTime] ?? 0, usd);
      return;
    }
    finish(left, position + 1, onTime, usd);
    for (const way of request.privateWays) {
      if (request.arrivalMs + way.readyMs + way.timeMs <= request.deadlineMs) {
        finish(left, position + 1, onTime + 1, usd + way.energyUsd);
      }
    }
  };
  const extend = (left: readonly InstanceRequest[], number: number, freeMs: number, usd: number): void => {
    const worker = workers[number];
    if (worker === undefined) {
      finish(left, 0, requests.length - left.length, usd);
      return;
    }
    extend(left, number + 1, 0, usd);
    for (let chosen = 1; chosen < 1 << left.length; chosen += 1) {
      const members = left.filter((_, index) => chosen & (1 << index));
      for (const profile of worker.profiles) {
        if (members.length > profile.maxBatch || !members.every((member) => mayServe(profile, member)))
          continue;
        const timeMs = batchMs(profile, members);
        const endMs = Math.max(freeMs, ...members.map(({ releaseMs }) => releaseMs)) + timeMs;
        if (members.some(({ dueMs }) => endMs > dueMs)) continue;
        const remoteUsd = members.reduce((sum, member) => sum + member.remoteUsd, 0);
        const rest = left.filter((_, index) => !(chosen & (1 << index)));
        extend(rest, number, endMs, usd + timeMs * worker.usdPerMs + remoteUsd);
      }
    }
  };
  extend(requests, 0, 0, 0);
  return least;
}
