/**
 * How computations on one machine slow each other down: two of them each take 1 + `interference` times as long as alone
 * (shared caches, and whatever else runs), and more of them share what two get: k take (k / 2)^`sharing` times as long again,
 * where 1 is a fair share of two cores.
 */
export interface Contention {
  readonly interference: number;
  readonly sharing: number;
}

/** What the fit begins with, every pair of them: from no interference to cores that are shared already. */
const INTERFERENCES = [0, 0.15, 0.3, 0.5, 0.75, 1, 1.4];
const SHARINGS = [0.4, 0.7, 1, 1.3, 1.6];
/** Steps of the search around the best pair; halved each time that no neighbour is better. */
const FIRST_STEP: Contention = { interference: 0.12, sharing: 0.15 };
const HALVINGS = 3;

/** The slow-down of one, two, … up to `most` computations at once. */
export function slowdownCurve({ interference, sharing }: Contention, most: number): number[] {
  return Array.from({ length: most }, (_, index) =>
    index === 0 ? 1 : (1 + interference) * ((index + 1) / 2) ** sharing,
  );
}

/**
 * The contention with the least error: the best of a grid, then the best of its neighbours with ever smaller steps. Of equally
 * good ones the first.
 */
export function fitContention(errorOf: (contention: Contention) => number): Contention & { error: number } {
  let best = { interference: 0, sharing: 1, error: Number.POSITIVE_INFINITY };
  const consider = (interference: number, sharing: number): boolean => {
    if (interference < 0 || sharing < 0) return false;
    const error = errorOf({ interference, sharing });
    if (!(error < best.error)) return false;
    best = { interference, sharing, error };
    return true;
  };
  for (const interference of INTERFERENCES) for (const sharing of SHARINGS) consider(interference, sharing);
  for (let halving = 0; halving <= HALVINGS; ) {
    const { interference, sharing } = best;
    const byInterference = FIRST_STEP.interference / 2 ** halving;
    const bySharing = FIRST_STEP.sharing / 2 ** halving;
    const neighbours = [
      [interference + byInterference, sharing],
      [interference - byInterference, sharing],
      [interference, sharing + bySharing],
      [interference, sharing - bySharing],
    ] as const;
    const isBetter = neighbours.map(([a, b]) => consider(a, b)).includes(true);
    if (!isBetter) halving += 1;
  }
  return best;
}
