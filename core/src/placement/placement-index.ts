import type { Moments } from '@nearfar/protocol';
import { onTimeProbability, sumMoments, ZERO } from '../distribution.ts';
import type { Option } from '../estimate.ts';
import { staleness, WAIT_DEVIATION, waitMoments } from '../load-view.ts';
import type { RequestSpec } from '../request-spec.ts';
import { findBound, knownBound, mostProbable } from './bound.ts';
import { NameOrder } from './name-order.ts';
import {
  byCost,
  byName,
  compare,
  isEquallyGood,
  nameOf,
  type Offer,
  type OfferList,
  type ReadyGroup,
  type ReplicaName,
  willDo,
} from './offer-list.ts';
import { type IndexEntry, type Place, WorkerGroup, type WorkerSlots } from './worker-group.ts';

/** A worker as the index needs to know it. */
export interface IndexedWorker extends Place {
  readonly id: string;
  /** What it holds warm. */
  readonly ready: readonly ReplicaName[];
}

/** A request that a place is looked for. */
export interface IndexRequest {
  readonly spec: RequestSpec;
  /** Milliseconds of its budget that are spent. */
  readonly elapsedMs: number;
  readonly nowMs: number;
  /** The caller's way to the mesh and back; as one object for all requests that share it, what was found is found once. */
  readonly network: Moments;
  /** Ids of workers that refused or lost it. */
  readonly except?: { has(workerId: string): boolean } | undefined;
}

/** A worker that a variant was not sent to. */
export interface PassedOver {
  readonly offer: Offer;
  readonly worker: string;
}

/**
 * What was chosen, with what is predicted of it; `passedOver`: see `passedOver` in `decide.ts`, of equally good ones the first
 * that was looked at.
 */
export type IndexChoice =
  | {
      readonly kind: 'meets-slo' | 'best-effort';
      readonly offer: Offer;
      readonly worker: string;
      /** Until its batch starts. */
      readonly wait: Moments;
      readonly onTimeProbability: number;
      /** Whether it is less accurate than asked for, as the caller allows where nothing else is on time. */
      readonly isDegraded: boolean;
      readonly passedOver: PassedOver | undefined;
    }
  | { readonly kind: 'none'; readonly passedOver: PassedOver | undefined };

/** The best that a walk has come to. */
interface Found {
  readonly offer: Offer;
  readonly entry: IndexEntry;
  /** Of the whole latency, as it is predicted. */
  readonly meanMs: number;
  readonly probability: number;
}

/** Groups that are put in order with each report. */
const SETTLED_PER_REPORT = 8;

/**
 * Groups without workers that are kept, or as many as there are others: a worker that comes back finds its offers in order, and
 * a decision walks over at most twice as many offers as there are.
 */
const KEPT_EMPTY_GROUPS = 8;

/**
 * All places of a mesh, kept so that a decision looks at few of them.
 *
 * Workers whose options differ by nothing but their queues form a group, in which the one that is free first is the best.
 * The offers of a task (variant and group) are kept in the order of what decides among feasible ones: cost and price, then
 * accuracy. So a decision walks them, looks at one worker of each, and ends at the first that will be on time; what costs
 * with the number of workers is only to move one of them in its heap when it is given work or reports. The choice is that
 * of `decide` among the options of all workers.
 *
 * Only where the worker that is free first is not on time, and one behind it might be, because what is known of it is fresher
 * or because it alone did not refuse the request, is more than one of a group looked at (`bound.ts`).
 *
 * Orders are made anew when a group comes or goes, and after `invalidate`.
 */
export class PlacementIndex {
  readonly #groups = new Map<string, ReadyGroup>();
  readonly #groupOf = new Map<string, string>();
  readonly #workers = new Map<string, IndexEntry>();
  readonly #slots: WorkerSlots = { positions: [], ranks: [], entries: [] };
  /** Slots that nobody has any more. */
  readonly #freeSlots: number[] = [];
  readonly #order = new NameOrder((id, rank) => {
    const entry = this.#workers.get(id);
    if (entry === undefined) return;
    this.#slots.ranks[entry.slot] = rank;
    entry.group.renamed(entry);
  });
  /** Used for each prediction, so that a walk allocates nothing. */
  readonly #time: { meanMs: number; varianceMs2: number } = { meanMs: 0, varianceMs2: 0 };
  /** All groups, and whose turn it is to be put in order. */
  #inTurn: WorkerGroup[] = [];
  #turn = 0;
  #version = 0;
  #empty = 0;
  #looks = 0;
  #passedOver: PassedOver | undefined;

  /** Workers in the index. */
  get size(): number {
    return this.#workers.size;
  }

  /** Groups that are kept, empty ones among them. */
  get groups(): number {
    return this.#groups.size;
  }

  /** Places of offers that were weighed until now: what decisions cost, independent of the machine. */
  get looks(): number {
    return this.#looks;
  }

  /** Adds a worker, or notes that what it is or holds has changed. What is known of its queue stays. */
  setWorker(worker: IndexedWorker): void {
    const { id, tier, deviceClass, usdPerHour, link, speed, ready } = worker;
    const key = groupKey(worker);
    if (this.#groupOf.get(id) === key) return;
    const known = this.#workers.get(id);
    const isAvailable = known?.place !== 'out';
    this.#leave(id);
    let found = this.#groups.get(key);
    if (found === undefined) {
      const group = new WorkerGroup({ tier, deviceClass, usdPerHour, link, speed }, this.#slots);
      found = { group, ready: new Set(ready.map(nameOf)) };
      this.#groups.set(key, found);
      this.#inTurn.push(group);
      this.#version += 1;
    } else if (found.group.size === 0) {
      this.#empty -= 1;
    }
    const slot = known?.slot ?? this.#freeSlots.pop() ?? this.#slots.entries.length;
    this.#slots.ranks[slot] = this.#order.add(id);
    const entry = found.group.add(id, slot);
    this.#workers.set(id, entry);
    this.#groupOf.set(id, key);
    if (known === undefined) return;
    found.group.setQueue(entry, known.freeAtMs, known.reportedAtMs, Number.NEGATIVE_INFINITY);
    found.group.setAvailable(entry, isAvailable);
  }

  /** Forgets a worker; nothing when it is not known. */
  removeWorker(id: string): void {
    const entry = this.#workers.get(id);
    if (entry === undefined) return;
    this.#leave(id);
    this.#slots.entries[entry.slot] = undefined;
    this.#freeSlots.push(entry.slot);
    this.#workers.delete(id);
    this.#groupOf.delete(id);
    this.#order.remove(id);
  }

  /** Whether a worker takes work: not while it drains, is silent, or has no credits left. */
  setAvailable(id: string, isAvailable: boolean): void {
    const entry = this.#workers.get(id);
    entry?.group.setAvailable(entry, isAvailable);
  }

  /**
   * Notes at `nowMs` when a worker will have done what it has.
   *
   * @param reportedAtMs when it last reported; not in the future.
   */
  setQueue(id: string, freeAtMs: number, reportedAtMs: number, nowMs: number): void {
    const entry = this.#workers.get(id);
    if (entry === undefined || (entry.freeAtMs === freeAtMs && entry.reportedAtMs === reportedAtMs)) return;
    entry.group.setQueue(entry, freeAtMs, reportedAtMs, nowMs);
    // Reports are as many as workers, decisions are not: what can be put in order here need not be there.
    for (let step = 0; step < SETTLED_PER_REPORT; step += 1) {
      this.#turn = (this.#turn + 1) % this.#inTurn.length;
      this.#inTurn[this.#turn]?.settle(nowMs);
    }
    entry.group.settle(nowMs);
  }

  /** Notes work that went to a worker: `busyMs` of its time, over its slots. */
  dispatched(id: string, busyMs: number, nowMs: number): void {
    const entry = this.#workers.get(id);
    entry?.group.setQueue(entry, Math.max(entry.freeAtMs, nowMs) + busyMs, entry.reportedAtMs, nowMs);
  }

  /** One worker of each group: all kinds of places that there are. */
  samples(nowMs: number): string[] {
    return [...this.#groups.values()].flatMap(({ group }) => group.sample(nowMs) ?? []);
  }

  /** Chooses a place among the offers of `list`; see `decide` for the rule. */
  choose(list: OfferList, request: IndexRequest): IndexChoice {
    list.refresh(this.#version, this.#groups.values());
    this.#passedOver = undefined;
    const { spec } = request;
    const { minAccuracy, degradeTo, onInfeasible } = spec;
    let found = this.#cheapest(list, request, minAccuracy);
    if (found === undefined && degradeTo !== undefined && degradeTo < minAccuracy) {
      found = this.#cheapest(list, request, degradeTo);
    }
    if (found !== undefined) return this.#chosen('meets-slo', found, request);
    if (onInfeasible === 'best_effort') found = this.#likeliest(list, request);
    if (found !== undefined) return this.#chosen('best-effort', found, request);
    return { kind: 'none', passedOver: this.#passedOver };
  }

  /** The first in the caller's order that is on time. */
  #cheapest(list: OfferList, request: IndexRequest, minAccuracy: number): Found | undefined {
    const { spec, nowMs, network, except } = request;
    const { sloTarget } = spec;
    const budgetMs = spec.sloMs - request.elapsedMs;
    let best: Found | undefined;
    for (const offer of spec.prefer === 'accuracy' ? list.byAccuracy : list.byCost) {
      // Those that follow are as good at most; only equally good ones may still be faster.
      if (best !== undefined && !isEquallyGood(offer, best.offer)) break;
      if (!willDo(spec, offer, minAccuracy)) continue;
      const first = offer.group.first(nowMs);
      if (first === undefined) continue;
      if (knownBound(offer, network, waitOf(first, nowMs), budgetMs, nowMs) < sloTarget) {
        if (offer.bound?.isByCalibration) this.#pass(offer, first, spec);
        continue;
      }
      const time = this.#predict(offer, first, request);
      const meanMs = meanOf(offer, time);
      if (best !== undefined && meanMs > best.meanMs) continue;
      const probability = probabilityOf(offer, time, budgetMs);
      const isOpen = except === undefined || !except.has(first.id);
      const found =
        isOpen && probability >= sloTarget
          ? { offer, entry: first, meanMs, probability }
          : this.#behind(offer, first, request, isOpen);
      if (found !== undefined && (best === undefined || isBefore(found, best))) best = found;
    }
    return best;
  }

  /** The first of a group that is on time, where `first` is not (`wasLooked`) or refused the request. */
  #behind(offer: Offer, first: IndexEntry, request: IndexRequest, wasLooked: boolean): Found | undefined {
    const { spec, nowMs, network, except } = request;
    const { sloTarget } = spec;
    const budgetMs = spec.sloMs - request.elapsedMs;
    const { group } = offer;
    const waitMs = waitOf(first, nowMs);
    const isByCalibration =
      offer.calibration !== undefined &&
      onTimeProbability(this.#predict(offer, first, request), budgetMs) >= sloTarget;
    if (isByCalibration && wasLooked) this.#pass(offer, first, spec);
    offer.bound = findBound(offer, network, waitMs, budgetMs, nowMs, isByCalibration);
    if (offer.bound.probability < sloTarget) return undefined;
    const mostStaleness = group.mostStaleness(nowMs);
    if (mostProbable(offer, network, waitMs, budgetMs, mostStaleness) < sloTarget) return undefined;
    // Idle ones are all alike.
    for (const entry of group.inOrder(nowMs, !wasLooked)) {
      if (entry === first || except?.has(entry.id)) continue;
      const time = this.#predict(offer, entry, request);
      const probability = probabilityOf(offer, time, budgetMs);
      if (probability >= sloTarget) return { offer, entry, meanMs: meanOf(offer, time), probability };
      const behind = mostProbable(offer, network, waitOf(entry, nowMs), budgetMs, mostStaleness);
      if (behind < sloTarget) return undefined;
    }
    return undefined;
  }

  /**
   * Of all that breaks nothing but the deadline, what is likeliest to meet it: of each variant on each class of devices the
   * soonest, and among those the likeliest.
   */
  #likeliest(list: OfferList, request: IndexRequest): Found | undefined {
    const { spec, nowMs, network } = request;
    const budgetMs = spec.sloMs - request.elapsedMs;
    let best: Found | undefined;
    let offer: Offer | undefined;
    let entry: IndexEntry | undefined;
    let meanMs = 0;
    const weigh = () => {
      if (offer === undefined || entry === undefined) return;
      if (best !== undefined) {
        const known = knownBound(offer, network, waitOf(entry, nowMs), budgetMs, nowMs);
        if (known < best.probability || (known === 0 && meanMs > best.meanMs)) return;
      }
      const probability = probabilityOf(offer, this.#predict(offer, entry, request), budgetMs);
      const found = { offer, entry, meanMs, probability };
      if (best === undefined || isLikelier(found, best)) best = found;
    };
    for (const next of list.byKind) {
      if (!willDo(spec, next, spec.minAccuracy)) continue;
      const first = this.#firstOpen(next, request);
      if (first === undefined) continue;
      const nextMs = meanOf(next, this.#predict(next, first, request));
      if (offer === undefined || entry === undefined || offer.kind !== next.kind) {
        weigh();
      } else if (nextMs > meanMs || (nextMs === meanMs && entry.id < first.id)) {
        continue;
      }
      [offer, entry, meanMs] = [next, first, nextMs];
    }
    weigh();
    return best;
  }

  /** The worker of an offer that is free first, of those that did not refuse the request. */
  #firstOpen({ group }: Offer, { nowMs, except }: IndexRequest): IndexEntry | undefined {
    const first = group.first(nowMs);
    if (first === undefined || except === undefined || !except.has(first.id)) return first;
    for (const entry of group.inOrder(nowMs, true)) if (!except.has(entry.id)) return entry;
    return undefined;
  }

  /** The whole latency; good until the next call. */
  #predict({ compute, group }: Offer, entry: IndexEntry, { network, nowMs }: IndexRequest): Moments {
    this.#looks += 1;
    const waitMs = waitOf(entry, nowMs);
    const deviation = waitMs > 0 ? WAIT_DEVIATION * waitMs * staleness(nowMs - entry.reportedAtMs) : 0;
    const { link } = group.facts;
    const time = this.#time;
    // Added up in the same order as the parts of an option, so that both give the same number.
    time.meanMs = network.meanMs + link.meanMs + waitMs + compute.meanMs;
    time.varianceMs2 = network.varianceMs2 + link.varianceMs2 + deviation * deviation + compute.varianceMs2;
    return time;
  }

  #pass(offer: Offer, { id: worker }: IndexEntry, { minAccuracy }: RequestSpec): void {
    if (offer.accuracy >= minAccuracy) this.#passedOver ??= { offer, worker };
  }

  #chosen(
    kind: 'meets-slo' | 'best-effort',
    { offer, entry, probability }: Found,
    { spec, nowMs }: IndexRequest,
  ): IndexChoice {
    const passed = this.#passedOver;
    return {
      kind,
      offer,
      worker: entry.id,
      wait: waitMoments(waitOf(entry, nowMs), nowMs - entry.reportedAtMs),
      onTimeProbability: probability,
      isDegraded: offer.accuracy < spec.minAccuracy,
      // Of equally good ones the faster was chosen, calibrated or not.
      passedOver:
        passed !== undefined && kind !== 'best-effort' && isEquallyGood(passed.offer, offer)
          ? undefined
          : passed,
    };
  }

  #leave(id: string): void {
    const entry = this.#workers.get(id);
    if (entry === undefined) return;
    entry.group.remove(entry);
    if (entry.group.size > 0) return;
    this.#empty += 1;
    if (this.#empty <= Math.max(KEPT_EMPTY_GROUPS, this.#groups.size - this.#empty)) return;
    for (const [key, { group }] of this.#groups) if (group.size === 0) this.#groups.delete(key);
    this.#inTurn = [...this.#groups.values()].map(({ group }) => group);
    this.#empty = 0;
    this.#version += 1;
  }
}

/** The option that a choice stands for, with its latency in parts. */
export function chosenOption(
  { offer, worker, wait }: Exclude<IndexChoice, { kind: 'none' }>,
  network: Moments,
): Option {
  const { tier, deviceClass, link } = offer.group.facts;
  const { variant, revision, model, accuracy, compute, costPicoUsd, worstCostPicoUsd, pricePicoUsd } = offer;
  return {
    variant,
    revision,
    model,
    tier,
    worker,
    deviceClass,
    accuracy,
    parts: { network: sumMoments([network, link]), queue: wait, compute, load: ZERO },
    costPicoUsd,
    worstCostPicoUsd,
    blockers: [],
    pricePicoUsd,
    ...(offer.calibration !== undefined && { calibration: offer.calibration }),
  };
}

function waitOf({ freeAtMs }: IndexEntry, nowMs: number): number {
  return freeAtMs > nowMs ? freeAtMs - nowMs : 0;
}

function probabilityOf({ calibration }: Offer, time: Moments, budgetMs: number): number {
  return calibration === undefined
    ? onTimeProbability(time, budgetMs)
    : calibration.probability(time, budgetMs);
}

function meanOf({ calibration }: Offer, time: Moments): number {
  return calibration === undefined ? time.meanMs : calibration.meanMs(time);
}

/** Among equally good or equally likely ones the faster, then the cheaper, then the first by name. */
function isBefore(a: Found, b: Found): boolean {
  if (a.meanMs !== b.meanMs) return a.meanMs < b.meanMs;
  return (byCost(a.offer, b.offer) || byName(a.offer, b.offer) || compare(a.entry.id, b.entry.id)) < 0;
}

function isLikelier(a: Found, b: Found): boolean {
  return a.probability === b.probability ? isBefore(a, b) : a.probability > b.probability;
}

/** Workers that are told of with the same list hold the same, which is then put into words once. */
const NAMES = new WeakMap<readonly ReplicaName[], string>();

function groupKey({ tier, deviceClass, usdPerHour, link, speed, ready }: IndexedWorker): string {
  let names = NAMES.get(ready);
  if (names === undefined) {
    names = ready.map(nameOf).toSorted().join(' ');
    NAMES.set(ready, names);
  }
  const place = [tier, deviceClass, usdPerHour, link.meanMs, link.varianceMs2];
  return [...place, speed?.shift, speed?.weight, names].join(' ');
}
