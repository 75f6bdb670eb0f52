import type { Moments } from '@nearfar/protocol';
import { onTimeProbability } from '../distribution.ts';
import { WAIT_DEVIATION } from '../load-view.ts';
import type { Bound, Offer } from './offer-list.ts';

/** A bound is found for a wait shorter by this share and a deadline later by it, so that it holds for a while. */
const SLACK = 0.08;
/** What rounding may add to a probability. */
const ROUNDING = 1 + 1e-8;
/** Squared variation below which calibrations take a time to be a little less certain than predicted. */
const LEAST_SQUARE = 1.0001e-4;

/**
 * A bound that still holds when waits are a little shorter, deadlines a little later and reports a little older than now.
 *
 * @param isByCalibration of the worker that is free first.
 */
export function findBound(
  offer: Offer,
  network: Moments,
  waitMs: number,
  budgetMs: number,
  nowMs: number,
  isByCalibration: boolean,
): Bound {
  const shorterMs = waitMs * (1 - SLACK);
  const laterMs = budgetMs > 0 ? budgetMs * (1 + SLACK) : budgetMs;
  const staleness = Math.ceil(2 * offer.group.mostStaleness(nowMs)) / 2;
  return {
    waitMs: shorterMs,
    budgetMs: laterMs,
    probability: mostProbable(offer, network, shorterMs, laterMs, staleness),
    staleness,
    network,
    version: offer.calibration?.version ?? 0,
    isByCalibration,
  };
}

/** The bound on such a request that is known already; 1 when none is. */
export function knownBound(
  { bound, calibration, group }: Offer,
  network: Moments,
  waitMs: number,
  budgetMs: number,
  nowMs: number,
): number {
  if (bound === undefined || bound.waitMs > waitMs || bound.budgetMs < budgetMs) return 1;
  if (bound.network !== network || bound.version !== (calibration?.version ?? 0)) return 1;
  return group.mostStaleness(nowMs) <= bound.staleness ? bound.probability : 1;
}

/**
 * P(latency ≤ `budgetMs`) is at most this for every worker of the offer's group that waits `waitMs` or longer.
 *
 * With A = ln(budget ÷ mean) and scale σ, the normal score A/σ + σ/2 falls with the mean; over any range of σ it is largest
 * at one of the range's ends, since it rises for A ≤ 0 and is convex for A > 0. For waits w' ≥ w beside other parts of mean b
 * and variance v, the squared variation (v + (k·w'/2)²) ÷ (b + w')² is least for k = 1 at max(w, 4v/b), and at most the larger
 * of v/b² and (k/2)².
 */
export function mostProbable(
  offer: Offer,
  network: Moments,
  waitMs: number,
  budgetMs: number,
  staleness: number,
): number {
  const { compute, group } = offer;
  const { link } = group.facts;
  const restMs = network.meanMs + link.meanMs + compute.meanMs;
  const rest = network.varianceMs2 + link.varianceMs2 + compute.varianceMs2;
  const meanMs = restMs + waitMs;
  if (!(meanMs > 0)) return 1;
  const atMs = restMs > 0 ? Math.max(waitMs, (4 * rest) / restMs) : waitMs;
  const least = (rest + (WAIT_DEVIATION * atMs) ** 2) / (restMs + atMs) ** 2;
  const most = Math.max(restMs > 0 ? rest / restMs ** 2 : 0, (WAIT_DEVIATION * staleness) ** 2);
  const square = meanMs * meanMs;
  let probability = Math.max(
    at(offer, meanMs, least * square, budgetMs),
    at(offer, meanMs, most * square, budgetMs),
  );
  if (least < LEAST_SQUARE) {
    probability = Math.max(probability, at(offer, meanMs, LEAST_SQUARE * square, budgetMs));
  }
  return probability * ROUNDING;
}

function at({ calibration }: Offer, meanMs: number, varianceMs2: number, budgetMs: number): number {
  const time = { meanMs, varianceMs2 };
  // The lesser of two probabilities may be largest between the ends; each of them is not.
  return calibration === undefined || calibration.isCautious
    ? onTimeProbability(time, budgetMs)
    : calibration.probability(time, budgetMs);
}
