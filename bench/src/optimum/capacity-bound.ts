import type { Instance } from './known-run.ts';
import { type Needs, needsOf } from './needs.ts';

/** Lengths of the stretches of one price, in longest budgets. */
const STRETCHES = [2, 8, 32];
const ROUNDS = 60;
/** Rounds without a better bound after which the steps head for half as much more. */
const PATIENCE = 3;
/** Beyond this many stretches a class, prices are not worth their time. */
const MOST_STRETCHES = 20_000;

/**
 * The least cost of having at least so many on time when workers have only the time that there is: at least what the same
 * bound says without capacity, since it begins with prices of 0. Infinite where fewer have any way to be on time.
 *
 * Proof. Let μ(c, t) ≥ 0 be any price of a class's worker time. All batches of a class together are charged at most its number
 * of workers times ∫μ, so a schedule costs at least what it costs with that charge added, less Σ count × ∫μ. A batch of time T
 * is charged at least mT, where m is the least price while it runs, and T is at least the sum of its members' shares
 * (`BatchShares`). A member that is on time has the whole batch within its time at the mesh, so a share above 0 is charged at
 * least the least price of that time; a share below 0 takes off at most the highest price of the class; a late member with a
 * share above 0 adds nothing less than 0. What each request adds at least, on time or not, is thus known for itself, and the
 * asked number that add the least over being late make the least sum. Any prices will do; good ones are found by subgradient
 * steps (Held and Karp 1971; Fisher, "The Lagrangian relaxation method", Management Science 27(1), 1981). ∎
 *
 * `uses` says by how many requests a request's download is shared at most; `needs` are those of `needsOf`, found when absent.
 */
export function capacityBound(
  instance: Instance,
  atLeastOnTime: number,
  uses: readonly number[],
  needs: readonly Needs[] = needsOf(instance, uses),
): number {
  const budgetMs = instance.requests.reduce(
    (most, entry) => Math.max(most, entry.dueMs - entry.releaseMs),
    0,
  );
  const [startMs] = extremes(instance, 'releaseMs');
  const [, endMs] = extremes(instance, 'dueMs');
  let best = 0;
  for (const budgets of STRETCHES) {
    const stretchMs = budgets * budgetMs;
    const stretches = Math.ceil((endMs - startMs) / stretchMs) || 1;
    if (!(stretchMs > 0) || stretches > MOST_STRETCHES) continue;
    for (const [index, need] of needs.entries()) {
      const { releaseMs, dueMs } = instance.requests[index] ?? { releaseMs: 0, dueMs: 0 };
      need.first = Math.min(stretches - 1, Math.floor((releaseMs - startMs) / stretchMs));
      need.last = Math.max(need.first, Math.min(stretches - 1, Math.floor((dueMs - startMs) / stretchMs)));
    }
    best = Math.max(best, priced(instance, needs, atLeastOnTime, { stretchMs, stretches }));
  }
  return best;
}

function extremes({ requests }: Instance, field: 'releaseMs' | 'dueMs'): [number, number] {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const request of requests) {
    least = Math.min(least, request[field]);
    most = Math.max(most, request[field]);
  }
  return [least, most];
}

/** The best bound of some rounds of prices. */
function priced(
  { classes }: Instance,
  needs: readonly Needs[],
  atLeastOnTime: number,
  { stretchMs, stretches }: { readonly stretchMs: number; readonly stretches: number },
): number {
  const prices = classes.map(() => new Float64Array(stretches));
  const loads = classes.map(() => new Float64Array(stretches));
  const extra = new Float64Array(needs.length);
  const order = Uint32Array.from(needs.keys());
  const chosenClass = new Int16Array(needs.length);
  const chosenStretch = new Uint32Array(needs.length);
  let best = 0;
  // How much more than the best so far the steps head for: at first what all would cost where each is dearest.
  let hopedUsd = needs.reduce((sum, need) => sum + dearestOf(need, classes), 0);
  let idle = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const highest = prices.map((own) => own.reduce((most, price) => Math.max(most, price), 0));
    let value = 0;
    for (const [index, need] of needs.entries()) {
      let usd = need.privateUsd;
      let lateUsd = 0;
      chosenClass[index] = -1;
      for (const [position, { usdPerMs, count }] of classes.entries()) {
        if (count === 0) continue;
        const mostPrice = usdPerMs + (highest[position] ?? 0);
        lateUsd = Math.min(lateUsd, (need.lateMs[position] ?? 0) * mostPrice);
        const ms = need.onTimeMs[position] ?? Number.POSITIVE_INFINITY;
        if (ms === Number.POSITIVE_INFINITY) continue;
        const stretch = cheapestOf(prices[position] ?? new Float64Array(0), need);
        const price = ms < 0 ? mostPrice : usdPerMs + (prices[position]?.[stretch] ?? 0);
        if (ms * price + need.remoteUsd < usd) {
          usd = ms * price + need.remoteUsd;
          chosenClass[index] = position;
          chosenStretch[index] = stretch;
        }
      }
      value += need.mostBatches * lateUsd;
      extra[index] = usd - lateUsd;
    }
    order.sort((a, b) => (extra[a] ?? 0) - (extra[b] ?? 0));
    for (const load of loads) load.fill(0);
    for (let rank = 0; rank < order.length; rank += 1) {
      const index = order[rank] ?? 0;
      const usd = extra[index] ?? 0;
      if (rank >= atLeastOnTime && usd >= 0) break;
      value += usd;
      const position = chosenClass[index] ?? -1;
      const load = loads[position];
      const need = needs[index];
      if (load !== undefined && need !== undefined) {
        const stretch = chosenStretch[index] ?? 0;
        load[stretch] = (load[stretch] ?? 0) + Math.max(0, need.onTimeMs[position] ?? 0);
      }
    }
    if (value === Number.POSITIVE_INFINITY) return value;
    let square = 0;
    for (const [position, { count }] of classes.entries()) {
      const load = loads[position] as Float64Array;
      const own = prices[position] as Float64Array;
      for (let stretch = 0; stretch < stretches; stretch += 1) {
        const price = own[stretch] ?? 0;
        value -= price * count * stretchMs;
        const slope = (load[stretch] ?? 0) - count * stretchMs;
        // A price of 0 cannot fall.
        load[stretch] = price === 0 && slope < 0 ? 0 : slope;
        square += (load[stretch] ?? 0) ** 2;
      }
    }
    if (value > best) {
      best = value;
      idle = 0;
    } else {
      idle += 1;
      if (idle % PATIENCE === 0) hopedUsd /= 2;
    }
    // Nothing is short: no prices can do better.
    if (square === 0) break;
    const step = (best + hopedUsd - value) / square;
    for (const [position, own] of prices.entries()) {
      const slopes = loads[position] as Float64Array;
      for (let stretch = 0; stretch < stretches; stretch += 1) {
        own[stretch] = Math.max(0, (own[stretch] ?? 0) + step * (slopes[stretch] ?? 0));
      }
    }
  }
  return best;
}

/** Of the stretches that a request's time touches, the one of the lowest price. */
function cheapestOf(prices: Float64Array, { first, last }: Needs): number {
  let best = first;
  for (let stretch = first + 1; stretch <= last; stretch += 1) {
    if ((prices[stretch] ?? 0) < (prices[best] ?? 0)) best = stretch;
  }
  return best;
}

function dearestOf({ onTimeMs }: Needs, classes: Instance['classes']): number {
  return classes.reduce((most, { usdPerMs }, position) => {
    const ms = onTimeMs[position] ?? Number.POSITIVE_INFINITY;
    return ms === Number.POSITIVE_INFINITY ? most : Math.max(most, ms * usdPerMs);
  }, 0);
}
