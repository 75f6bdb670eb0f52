import type { Device, LeasedPrices, Prices } from '@nearfar/protocol';

/** Money inside the mesh is whole picodollars: a millisecond of GPU is a fraction of a microdollar. */
export const PICO_USD_PER_USD = 1_000_000_000_000;

const MS_PER_HOUR = 3_600_000;
const BYTES_PER_GB = 1_000_000_000;

/** Whole picodollars as US dollars, for people and for the wire. */
export function toUsd(picoUsd: number): number {
  return picoUsd / PICO_USD_PER_USD;
}

/** Whole picodollars of `usd`, rounded to the nearest. */
export function fromUsd(usd: number): number {
  return Math.round(usd * PICO_USD_PER_USD);
}

/** Picodollars of one millisecond at an hourly rate; not rounded, since it is a factor. */
export function picoUsdPerMs(usdPerHour: number): number {
  return (usdPerHour * PICO_USD_PER_USD) / MS_PER_HOUR;
}

/** Rate of a worker's busy time: its own figure, else the price book's for its tier and device. */
export function workerUsdPerHour(
  prices: Prices,
  worker: {
    readonly tier: 'edge' | 'pool';
    readonly device: Pick<Device, 'kind'>;
    readonly usdPerHour?: number | undefined;
  },
): number {
  if (worker.usdPerHour !== undefined) return worker.usdPerHour;
  return worker.tier === 'edge' ? prices.edge.usdPerCpuHour : prices.pool.usdPerHour[worker.device.kind];
}

/** Cost of `busyMs` on a worker plus the answer's way out, in whole picodollars. */
export function remoteCostPicoUsd(
  prices: Prices,
  usdPerHour: number,
  busyMs: number,
  answerBytes: number,
): number {
  const egress = (prices.egress.answersUsdPerGb * PICO_USD_PER_USD * answerBytes) / BYTES_PER_GB;
  return Math.round(picoUsdPerMs(usdPerHour) * busyMs + egress);
}

/** The part of the price book that a page needs in order to cost its own work. */
export function pagePrices(prices: Prices): LeasedPrices {
  return {
    energyPicoUsdPerMs: picoUsdPerMs(prices.browser.energyUsdPerHour),
    artifactPicoUsdPerByte: (prices.egress.artifactsUsdPerGb * PICO_USD_PER_USD) / BYTES_PER_GB,
    expectedReuse: prices.browser.expectedReuse,
  };
}

/**
 * Cost of `busyMs` in a page, in whole picodollars: a price on the visitor's energy, plus the weights' way to the
 * page spread over its expected uses. The first download is not charged to one request.
 */
export function browserCostPicoUsd(prices: LeasedPrices, busyMs: number, weightBytes: number): number {
  const egress = (prices.artifactPicoUsdPerByte * weightBytes) / prices.expectedReuse;
  return Math.round(prices.energyPicoUsdPerMs * busyMs + egress);
}

/**
 * Splits a batch's whole cost over its requests so that the shares are whole and add up exactly: everyone gets the
 * floor of their part, and the remaining units go to the largest remainders (ties: the earlier request).
 */
export function splitCost(totalPicoUsd: number, weights: readonly number[]): number[] {
  if (!Number.isSafeInteger(totalPicoUsd) || totalPicoUsd < 0) {
    throw new RangeError(`Expected totalPicoUsd to be a whole number from 0, got ${totalPicoUsd}`);
  }
  const weight = weights.reduce((sum, part) => sum + part, 0);
  if (weights.length === 0 || !(weight > 0)) throw new RangeError('Expected at least one weight above 0');
  const exact = weights.map((part) => (totalPicoUsd * part) / weight);
  const shares = exact.map(Math.floor);
  const left = totalPicoUsd - shares.reduce((sum, share) => sum + share, 0);
  const byRemainder = exact
    .map((part, index) => ({ index, remainder: part - Math.floor(part) }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index);
  for (const { index } of byRemainder.slice(0, left)) shares[index] = (shares[index] ?? 0) + 1;
  return shares;
}
