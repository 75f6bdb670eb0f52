import type { ShareInterval } from '@nearfar/protocol';

/** The 0.975 quantile of the normal distribution: two-sided 95 %. */
const Z = 1.959963984540054;

/**
 * The 95 % score interval of a share (Wilson, "Probable inference, the law of succession, and statistical inference",
 * JASA 22, 1927). Both ends lie in 0..1 and the observed share lies between them, also for 0 and for all successes.
 * Without trials nothing is known: 0 to 1.
 */
export function wilsonInterval(successes: number, total: number): ShareInterval {
  checkCount('total', total);
  checkCount('successes', successes);
  if (successes > total) {
    throw new RangeError(`Expected at most ${total} successes, the total, got ${successes}`);
  }
  if (total === 0) return { low: 0, high: 1 };
  const share = successes / total;
  const square = (Z * Z) / total;
  const centre = share + square / 2;
  const half = Z * Math.sqrt((share * (1 - share)) / total + square / (4 * total));
  // Rounding must not push an end past the observed share, which at 0 and at 1 is an end itself.
  return {
    low: Math.min(share, Math.max(0, (centre - half) / (1 + square))),
    high: Math.max(share, Math.min(1, (centre + half) / (1 + square))),
  };
}

/** How often two variants were right on the same inputs. */
export interface PairedCounts {
  readonly both: number;
  readonly onlyFirst: number;
  readonly onlySecond: number;
  readonly neither: number;
}

/** A difference of two shares with its 95 % interval, each −1 to 1. */
export interface PairedDifference {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/**
 * First share minus second share of two variants that saw the same inputs, with the adjusted Wald interval of Agresti &
 * Min ("Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24, 2005): the
 * Wald interval after 0.5 was added to each cell. `value` is the plain difference and lies within the interval. Without
 * inputs nothing is known: 0, from −1 to 1.
 */
export function pairedDifference(counts: PairedCounts): PairedDifference {
  for (const [name, count] of Object.entries(counts)) checkCount(name, count);
  const { both, onlyFirst, onlySecond, neither } = counts;
  const total = both + onlyFirst + onlySecond + neither;
  if (total === 0) return { value: 0, low: -1, high: 1 };
  const adjusted = total + 2;
  const centre = (onlyFirst - onlySecond) / adjusted;
  // (b + c − (b − c)² / n) / n², with b, c and n adjusted: what the pairs share cancels out.
  const variance = ((onlyFirst + onlySecond + 1) / adjusted - centre * centre) / adjusted;
  const half = Z * Math.sqrt(variance);
  return {
    value: (onlyFirst - onlySecond) / total,
    low: Math.max(-1, centre - half),
    high: Math.min(1, centre + half),
  };
}

function checkCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Expected ${name} to be a whole number from 0, got ${value}`);
  }
}
