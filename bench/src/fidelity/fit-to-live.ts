import { type Contention, fitContention, slowdownCurve } from './contention.ts';
import type { EndedRequest } from './requests.ts';
import { type MeasuredMesh, simulateReplay } from './simulated-replay.ts';

/** Requests that were made one after the other stretch of load, all on one clock. */
export interface History {
  readonly requests: readonly EndedRequest[];
  /** Positions of the stretches in `requests`, by their first and the one after their last. */
  readonly stretches: readonly { readonly from: number; readonly to: number }[];
}

/** Draws of the noise that each contention is tried with. */
const FIT_DRAWS = 2;

/**
 * The contention under which the simulator repeats best what was seen in some stretches of a history: the least sum of the
 * squared logarithms of simulated ÷ seen mean latency, of the plain callers' and of the page's requests, weighted by how many
 * of them there were (indirect inference: Gourieroux, Monfort and Renault 1993).
 */
export function fitToLive(
  measured: MeasuredMesh,
  { requests, stretches }: History,
  seed: number,
): Contention & { readonly error: number } {
  const most = 2 + measured.poolWorkers;
  return fitContention((contention) => {
    const slowdown = slowdownCurve(contention, most);
    let error = 0;
    for (let draw = 0; draw < FIT_DRAWS; draw += 1) {
      const simulated = simulateReplay(measured, requests, slowdown, seed + draw);
      for (const { from, to } of stretches) {
        error += errorOf(requests.slice(from, to), simulated.slice(from, to));
      }
    }
    return error / FIT_DRAWS / stretches.length;
  });
}

function errorOf(live: readonly EndedRequest[], simulated: readonly EndedRequest[]): number {
  let error = 0;
  for (const isOfPage of [false, true]) {
    const seen = latenciesOf(live, isOfPage);
    const repeated = latenciesOf(simulated, isOfPage);
    if (seen.length === 0 || repeated.length === 0) continue;
    error += (seen.length / live.length) * Math.log(mean(repeated) / mean(seen)) ** 2;
  }
  return error;
}

function latenciesOf(requests: readonly EndedRequest[], ofPage: boolean): number[] {
  return requests.flatMap(({ isOfPage, tier, latencyMs }) =>
    isOfPage === ofPage && tier !== undefined ? [latencyMs] : [],
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
