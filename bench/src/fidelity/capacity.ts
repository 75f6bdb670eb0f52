/** How capacity is looked for. */
export interface CapacitySearch {
  /** Share of requests that have to be on time, 0 to 1. */
  readonly target: number;
  /** Rate to begin with, in requests a second. */
  readonly fromPerSecond: number;
  /** The rate is multiplied by this until the target is missed. */
  readonly growth: number;
  /** How often the stretch between the last rate that held and the first that did not is halved. */
  readonly halvings: number;
}

/** Rates beyond this are not tried: such a mesh needs another load generator. */
const MOST_PER_SECOND = 10_000;

/**
 * The highest rate, in requests a second, at which the target was seen to hold.
 *
 * @param attainmentAt tries a rate and gives the share of requests that were on time.
 * @throws Error when not even the first rate holds.
 */
export async function findCapacity(
  attainmentAt: (perSecond: number) => Promise<number>,
  { target, fromPerSecond, growth, halvings }: CapacitySearch,
): Promise<number> {
  let held = 0;
  let missed = fromPerSecond;
  while (missed < MOST_PER_SECOND && (await attainmentAt(missed)) >= target) {
    held = missed;
    missed *= growth;
  }
  if (held === 0) {
    throw new Error(`Expected ${100 * target} % of ${fromPerSecond} requests a second to be on time`);
  }
  for (let halving = 0; halving < halvings; halving += 1) {
    const middle = (held + missed) / 2;
    if ((await attainmentAt(middle)) >= target) held = middle;
    else missed = middle;
  }
  return held;
}
