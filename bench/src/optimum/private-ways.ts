import type { InstanceRequest, PrivateWay } from './known-run.ts';
import type { Served } from './schedule.ts';

/** A caller's device while requests are given to it one after another. */
interface Device {
  freeMs: number;
  /** By task, the variant that it fetches for it and when that can run. */
  readonly fetched: Map<string, { readonly variant: string; readonly readyMs: number }>;
}

/** What a device would do for all requests of one caller and task. */
interface Use {
  readonly variant: string;
  readonly requests: number;
  readonly usd: number;
}

/**
 * Books what callers' own devices do in time, in the order of arrival; returns the requests that are left. Of each task a
 * device fetches one variant, at the first request: the one with which it answers most in time, then that of the least cost.
 * None where it costs more for each answer than `mostUsd` (default: any).
 */
export function withoutPrivate(
  requests: readonly InstanceRequest[],
  served: Served[],
  mostUsd: (task: string) => number = () => Number.POSITIVE_INFINITY,
): InstanceRequest[] {
  const uses = chooseUses(requests, mostUsd);
  const devices = new Map<number, Device>();
  return requests.filter((request) => {
    const { arrivalMs, deadlineMs, caller, task, privateWays } = request;
    const use = uses.get(useKey(request));
    const way = privateWays.find(({ variant }) => variant === use?.variant);
    if (way === undefined) return true;
    let device = devices.get(caller);
    if (device === undefined) {
      device = { freeMs: 0, fetched: new Map() };
      devices.set(caller, device);
    }
    let fetched = device.fetched.get(task);
    if (fetched === undefined) {
      fetched = { variant: way.variant, readyMs: arrivalMs + way.readyMs };
      device.fetched.set(task, fetched);
      served.push({ kind: 'fetch', request, variant: way.variant, requests: 0, usd: way.downloadUsd });
    }
    const endMs = Math.max(arrivalMs, device.freeMs, fetched.readyMs) + way.timeMs;
    if (endMs > deadlineMs) return true;
    device.freeMs = endMs;
    served.push({ kind: 'private', request, variant: way.variant, requests: 1, usd: way.energyUsd });
    return false;
  });
}

/** By caller and task, what its device is used for. */
function chooseUses(
  requests: readonly InstanceRequest[],
  mostUsd: (task: string) => number,
): ReadonlyMap<string, Use> {
  const groups = Map.groupBy(
    requests.filter(({ privateWays }) => privateWays.length > 0),
    useKey,
  );
  const uses = new Map<string, Use>();
  for (const [key, group] of groups) {
    const [first] = group;
    if (first === undefined) continue;
    let best: Use | undefined;
    // Not every variant will do for every request: a small stage only where it is sure.
    const ways = new Map(group.flatMap(({ privateWays }) => privateWays.map((way) => [way.variant, way])));
    for (const way of ways.values()) {
      const use = useOf(group, way);
      if (use.requests === 0 || use.usd > use.requests * mostUsd(first.task)) continue;
      const isBetter =
        best === undefined ||
        use.requests > best.requests ||
        (use.requests === best.requests && use.usd < best.usd);
      if (isBetter) best = use;
    }
    if (best !== undefined) uses.set(key, best);
  }
  return uses;
}

/** As if the device had nothing else to do. */
function useOf(group: readonly InstanceRequest[], { variant, downloadUsd, readyMs }: PrivateWay): Use {
  const [first] = group;
  let freeMs = (first?.arrivalMs ?? 0) + readyMs;
  let requests = 0;
  let usd = downloadUsd;
  for (const { arrivalMs, deadlineMs, privateWays } of group) {
    const way = privateWays.find((entry) => entry.variant === variant);
    if (way === undefined) continue;
    const endMs = Math.max(arrivalMs, freeMs) + way.timeMs;
    if (endMs > deadlineMs) continue;
    freeMs = endMs;
    requests += 1;
    usd += way.energyUsd;
  }
  return { variant, requests, usd };
}

function useKey({ caller, task }: InstanceRequest): string {
  return `${caller} ${task}`;
}
