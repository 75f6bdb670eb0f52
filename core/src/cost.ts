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

/** Which part of a batch is one request's, counted in inputs. */
export interface BatchPart {
  /** Inputs of the batch before the request's own. */
  readonly offset: number;
  readonly size: number;
  readonly batchSize: number;
}

/**
 * A request's share of its batch's whole cost, in whole picodollars: the difference of two cumulative floors. Requests
 * that tile the batch get shares that add up to the whole exactly, and each can be booked without knowing the others.
 */
export function batchSharePicoUsd(totalPicoUsd: number, { offset, size, batchSize }: BatchPart): number {
  if (!Number.isSafeInteger(totalPicoUsd) || totalPicoUsd < 0) {
    throw new RangeError(`Expected totalPicoUsd to be a whole number from 0, got ${totalPicoUsd}`);
  }
  if (!(offset >= 0 && size >= 1 && offset + size <= batchSize)) {
    throw new RangeError(`Expected a part within the batch of ${batchSize}, got ${size} from ${offset}`);
  }
  const before = (inputs: number) => Math.floor((totalPicoUsd * inputs) / batchSize);
  return before(offset + size) - before(offset);
}
