import type { Filled } from './fill.ts';
import { pack } from './pack.ts';
import type { Integers } from './program.ts';
import type { RouteMap } from './routes.ts';

const SMALL = 1e-9;

/**
 * Opens replicas where the duals say that they pay: a place's saving is what its routes would spare the demands, the most
 * for each busy millisecond first, as far as one replica's time goes, less what loading and keeping it costs. Those that
 * save most come first, while a worker has room. Undefined when none pays.
 *
 * The duals hold at the margin, so that a saving is an estimate; the flows are solved anew with what was opened.
 */
export function openMore(
  map: RouteMap,
  { integers }: Filled,
  duals: { readonly prices: ArrayLike<number>; readonly demandPrices: ArrayLike<number> },
): Integers | undefined {
  const { input, places, routes, workerMs } = map;
  const { packings } = pack(map, integers);
  const gains: { rate: number; busyMs: number; saving: number }[][] = places.map(() => []);
  for (const { demand, place, busyMs, costPicoUsd } of routes) {
    const price = duals.prices[places[place]?.classIndex ?? 0] ?? 0;
    const saving = (duals.demandPrices[demand] ?? 0) - costPicoUsd - price * busyMs;
    if (saving <= SMALL) continue;
    gains[place]?.push({ rate: input.demands[demand]?.requestsPerSecond ?? 0, busyMs, saving });
  }
  const candidates: { index: number; saving: number }[] = [];
  for (const [index, ofPlace] of gains.entries()) {
    const place = places[index];
    if (place === undefined || ofPlace.length === 0) continue;
    ofPlace.sort((a, b) => b.saving / b.busyMs - a.saving / a.busyMs);
    let leftMs = workerMs[place.classIndex] ?? 0;
    let saving = -place.holdRate;
    if ((integers.replicas[index] ?? 0) >= place.on.loaded) saving -= place.loadRate;
    for (const gain of ofPlace) {
      const rate = Math.min(gain.rate, leftMs / gain.busyMs);
      saving += rate * gain.saving;
      leftMs -= rate * gain.busyMs;
      if (leftMs <= 0) break;
    }
    if (saving > 0) candidates.push({ index, saving });
  }
  candidates.sort((a, b) => b.saving - a.saving || a.index - b.index);

  const replicas = [...integers.replicas];
  let isChanged = false;
  for (const { index } of candidates) {
    const place = places[index];
    if (place === undefined) continue;
    if (packings[place.classIndex]?.add(index, place.memoryShare) !== true) continue;
    replicas[index] = (replicas[index] ?? 0) + 1;
    isChanged = true;
  }
  return isChanged ? { workers: integers.workers, replicas } : undefined;
}
