import type { PriceTable } from '@nearfar/protocol';

/** Nothing is scarce. */
export const NO_PRICES: PriceTable = { epoch: 0, prices: [] };

/** A class of workers that is scarce or not as a whole. */
export interface PricedClass {
  readonly tier: PriceTable['prices'][number]['tier'];
  readonly deviceClass: string;
}

/** Picodollars of one busy millisecond of a class; 0 where the table names no price. */
export function priceOf({ prices }: PriceTable, tier: PricedClass['tier'], deviceClass: string): number {
  const found = prices.find((entry) => entry.tier === tier && entry.deviceClass === deviceClass);
  return found?.picoUsdPerMs ?? 0;
}

/** How prices follow what is measured. */
export interface PriceRule {
  /** Busy share from which a class is scarce, above 0 and below 1. Default 0.8. */
  readonly targetUtilisation?: number;
  /** How fast prices rise: picodollars of a busy millisecond, for each second and each whole unit of excess. Default 50,000. */
  readonly picoUsdPerMsPerSecond?: number;
  /** What a missed deadline is worth avoiding, in picodollars. Default 1,000,000, a millionth of a dollar. */
  readonly missPicoUsd?: number;
  /** No price is higher, in picodollars of a busy millisecond. Default 2,000,000: about 7 US dollars an hour. */
  readonly mostPicoUsdPerMs?: number;
}

/** How a class was used since it was observed before. */
export interface ClassUse extends PricedClass {
  /** Batches that its workers can run at the same time, from 1. */
  readonly slots: number;
  /** Busy milliseconds that were asked of it, as a share of what it had; above 1 = more than it can do. */
  readonly utilisation: number;
  /** Mean busy milliseconds of a request, above 0. */
  readonly serviceMs: number;
  /** What deadlines leave for waiting, in milliseconds: the usual deadline without network and service. */
  readonly slackMs: number;
}

/** A price changes for everybody only when it changes by more than this share. */
const LEAST_CHANGE = 0.02;
/** Nearer to all of its capacity, the queue of a steady state says nothing any more about the next minute. */
const MOST_STEADY_LOAD = 0.98;
/**
 * What was observed so many seconds ago counts for 1/e in the misses that are expected. They rise so steeply with the load
 * that those of single seconds, busy by chance, are far more than those of their mean: following the last second alone made
 * the simulated Twitter peak hour 5.7 % dearer than no prices, this 2.2 %.
 */
const MEMORY_SECONDS = 10;
/** Step of the numerical derivative, as a share of the slots. */
const DERIVATIVE_STEP = 1e-4;
/** Classes that are followed; one that is not scarce is forgotten by the next plan. */
const MAX_CLASSES = 1_000;

interface Followed {
  readonly class: PricedClass;
  /** Of the plan. */
  dual: number;
  /** What measurements added to it. */
  excess: number;
  /** λ × ∂E[misses] ÷ ∂load. */
  misses: number;
  /** The use that this rests on, smoothed; undefined before the class was observed. */
  usual?: ClassUse;
}

/**
 * Prices of scarce capacity between two plans.
 *
 * The dual of a plan's linear program is 0 until a class is full, which is too late: queues are long before that. So a price
 * is the sum of three parts: the plan's dual; μ, which rises while a class is busier than its target ρ* and falls while it is
 * less, μ ← [μ + η(ρ − ρ*)]₊ (the dual ascent of congestion control: Kelly, Maulloo and Tan 1998; Low and Lapsley 1999); and
 * what one more busy millisecond costs in missed deadlines, λ × ∂E[misses]/∂load (`missesPerBusyMs`).
 */
export class PriceTracker {
  readonly #target: number;
  readonly #step: number;
  readonly #missPicoUsd: number;
  readonly #most: number;
  readonly #followed = new Map<string, Followed>();
  #table: PriceTable = NO_PRICES;

  constructor({
    targetUtilisation = 0.8,
    picoUsdPerMsPerSecond = 50_000,
    missPicoUsd = 1_000_000,
    mostPicoUsdPerMs = 2_000_000,
  }: PriceRule = {}) {
    if (!(targetUtilisation > 0 && targetUtilisation < 1)) {
      throw new RangeError(`Expected targetUtilisation to be above 0 and below 1, got ${targetUtilisation}`);
    }
    this.#target = targetUtilisation;
    this.#step = notBelowZero('picoUsdPerMsPerSecond', picoUsdPerMsPerSecond);
    this.#missPicoUsd = notBelowZero('missPicoUsd', missPicoUsd);
    this.#most = notBelowZero('mostPicoUsdPerMs', mostPicoUsdPerMs);
  }

  /** What to decide by; another object with a higher epoch after each change. */
  get table(): PriceTable {
    return this.#table;
  }

  /** Takes over the duals of a new plan; a class that it does not name has none. What was measured stays. */
  setPlan(prices: PriceTable['prices']): void {
    for (const [name, followed] of this.#followed) {
      followed.dual = 0;
      if (followed.excess === 0 && followed.misses === 0) this.#followed.delete(name);
    }
    for (const { tier, deviceClass, picoUsdPerMs } of prices) {
      const followed = this.#follow({ tier, deviceClass });
      if (followed !== undefined && picoUsdPerMs > 0) followed.dual = picoUsdPerMs;
    }
    this.#publish();
  }

  /** Takes in how classes were used in the last `seconds`; one that is not among them has no workers and is not scarce. */
  observe(uses: readonly ClassUse[], seconds: number): void {
    for (const followed of this.#followed.values()) {
      const { tier, deviceClass } = followed.class;
      if (uses.some((use) => use.tier === tier && use.deviceClass === deviceClass)) continue;
      followed.excess = 0;
      followed.misses = 0;
      delete followed.usual;
    }
    for (const use of uses) {
      const followed = this.#follow(use);
      if (followed === undefined || !(use.utilisation >= 0)) continue;
      const moved = followed.excess + this.#step * seconds * (use.utilisation - this.#target);
      followed.excess = Math.max(0, Math.min(this.#most, moved));
      followed.usual = smoothed(followed.usual, use, Math.exp(-seconds / MEMORY_SECONDS));
      followed.misses = this.#missPicoUsd * missesPerBusyMs(followed.usual);
    }
    this.#publish();
  }

  #follow({ tier, deviceClass }: PricedClass): Followed | undefined {
    const name = `${tier} ${deviceClass}`;
    let followed = this.#followed.get(name);
    if (followed === undefined && this.#followed.size < MAX_CLASSES) {
      followed = { class: { tier, deviceClass }, dual: 0, excess: 0, misses: 0 };
      this.#followed.set(name, followed);
    }
    return followed;
  }

  #publish(): void {
    const prices = [...this.#followed.values()].flatMap(({ class: { tier, deviceClass }, ...parts }) => {
      const picoUsdPerMs = Math.min(this.#most, Math.round(parts.dual + parts.excess + parts.misses));
      return picoUsdPerMs > 0 ? [{ tier, deviceClass, picoUsdPerMs }] : [];
    });
    const isSame =
      prices.length === this.#table.prices.length &&
      prices.every(({ tier, deviceClass, picoUsdPerMs }) => {
        const known = priceOf(this.#table, tier, deviceClass);
        return known > 0 && Math.abs(picoUsdPerMs - known) <= LEAST_CHANGE * known;
      });
    if (!isSame) this.#table = { epoch: this.#table.epoch + 1, prices };
  }
}

/**
 * Deadlines that one more busy millisecond makes others miss: ∂E[misses]/∂load.
 *
 * In a queue with c servers and Poisson arrivals of load a (busy milliseconds asked for in each millisecond) whose service
 * takes s on average, a request waits longer than d with P = C(c, a) × e^(−(c − a)d/s), where C is Erlang's delay formula
 * (Erlang 1917; Kleinrock 1975, section 3.5), so that a ÷ s × P deadlines are missed in each millisecond. This is its
 * derivative by a, found numerically. It takes service times as exponential, which is careful: measured ones vary less.
 */
export function missesPerBusyMs({ slots, utilisation, serviceMs, slackMs }: ClassUse): number {
  if (!(serviceMs > 0) || !(slots >= 1)) return 0;
  const load = Math.min(MOST_STEADY_LOAD, Math.max(0, utilisation)) * slots;
  const missed = (a: number) =>
    (a / serviceMs) * erlangDelay(slots, a) * Math.exp((-(slots - a) * Math.max(0, slackMs)) / serviceMs);
  const step = DERIVATIVE_STEP * slots;
  return Math.max(0, (missed(load + step) - missed(load)) / step);
}

/** The use so far, of which a share `kept` stays. */
function smoothed(usual: ClassUse | undefined, use: ClassUse, kept: number): ClassUse {
  if (usual === undefined) return use;
  const blend = (before: number, now: number) => before * kept + now * (1 - kept);
  const utilisation = blend(usual.utilisation, use.utilisation);
  // Where nothing ran, nothing was seen of what runs there.
  if (!(use.serviceMs > 0)) return { ...usual, slots: use.slots, utilisation };
  if (!(usual.serviceMs > 0)) return { ...use, utilisation };
  const serviceMs = blend(usual.serviceMs, use.serviceMs);
  return { ...use, utilisation, serviceMs, slackMs: blend(usual.slackMs, use.slackMs) };
}

/** Probability that a request has to wait at all, by the recursion of Erlang's loss formula. */
function erlangDelay(slots: number, load: number): number {
  const servers = Math.floor(slots);
  let loss = 1;
  for (let server = 1; server <= servers; server += 1) loss = (load * loss) / (server + load * loss);
  return loss / (1 - (load / servers) * (1 - loss));
}

function notBelowZero(name: string, value: number): number {
  if (!(value >= 0 && Number.isFinite(value)))
    throw new RangeError(`Expected ${name} to be a number from 0, got ${value}`);
  return value;
}
