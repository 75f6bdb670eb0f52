/** Where a search for the highest rate looks. */
export interface RateSearch {
  /** Rates in requests a second: where it begins, and beyond which none is tried. */
  readonly fromPerSecond: number;
  readonly mostPerSecond: number;
  /** The search ends when both ends are this close, as a share of the rate. */
  readonly precision: number;
  /** By what the rate is multiplied until it does not hold (default 2). */
  readonly growth?: number;
}

/**
 * The highest rate that holds, in requests a second, found by growing from `fromPerSecond` and then bisection. Where not even
 * the first rate holds, halves it until one does; 0 when none above a thousandth of it does.
 */
export async function highestRate(
  holds: (perSecond: number) => Promise<boolean>,
  { fromPerSecond, mostPerSecond, precision, growth = 2 }: RateSearch,
): Promise<number> {
  let low = fromPerSecond;
  let high = Number.POSITIVE_INFINITY;
  while (!(await holds(low))) {
    high = low;
    low /= 2;
    if (low < fromPerSecond / 1_000) return 0;
  }
  while (high === Number.POSITIVE_INFINITY) {
    if (low >= mostPerSecond) return low;
    const next = Math.min(mostPerSecond, low * growth);
    if (await holds(next)) low = next;
    else high = next;
  }
  while (high - low > precision * low) {
    const middle = (low + high) / 2;
    if (await holds(middle)) low = middle;
    else high = middle;
  }
  return low;
}
