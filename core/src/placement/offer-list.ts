import type { Moments } from '@nearfar/protocol';
import type { CalibrationCurve } from '../calibration.ts';
import type { RequestSpec } from '../request-spec.ts';
import type { Place, WorkerGroup } from './worker-group.ts';

/** A revision of a variant, as a worker holds it and a task names it. */
export interface ReplicaName {
  readonly task: string;
  readonly variant: string;
  readonly revision: number;
}

/** A calibration that may change between two decisions. */
export interface LiveCurve extends CalibrationCurve {
  /** Another number after each change. */
  readonly version: number;
  /** Whether a prediction is the lesser of the calibrated and the uncalibrated one. */
  readonly isCautious: boolean;
}

/** What an option is at a place, whichever of the place's workers runs it. */
export interface OfferFacts {
  readonly model: string;
  readonly accuracy: number;
  readonly compute: Moments;
  readonly costPicoUsd: number;
  readonly worstCostPicoUsd: number;
  /** Price of the scarce capacity that it uses. */
  readonly pricePicoUsd: number;
  readonly calibration?: LiveCurve | undefined;
  /** A variant that is at least as good in everything and is warm at the same workers. */
  readonly dominator?: Dominator | undefined;
}

/** What of a dominating variant says whether it can take the place of the dominated one. */
export interface Dominator {
  readonly model: string;
  readonly accuracy: number;
}

/**
 * That no worker of an offer's group which waits at least `waitMs` is on time within `budgetMs` with more than `probability`.
 * It holds until calibration, network or the age of the reports change it.
 */
export interface Bound {
  readonly waitMs: number;
  readonly budgetMs: number;
  readonly probability: number;
  readonly staleness: number;
  readonly network: Moments;
  readonly version: number;
  /** Whether only the calibration says that the worker which is free first would be late. */
  readonly isByCalibration: boolean;
}

/** A variant at the workers of one group. */
export interface Offer extends OfferFacts, ReplicaName {
  readonly group: WorkerGroup;
  /** Cost and price. */
  readonly pricedPicoUsd: number;
  /** The same for offers of one variant on one class of devices. */
  kind: number;
  /** What was found of it last, so that it need not be found again while it holds. */
  bound: Bound | undefined;
}

/**
 * Says what a variant is at a place; undefined = nobody has measured it there.
 *
 * @param isReady whether the workers there also hold another variant of the same task.
 */
export type DescribeOffer = (
  replica: ReplicaName,
  place: Place,
  isReady: (other: ReplicaName) => boolean,
) => OfferFacts | undefined;

/** A group with what its workers hold warm, by name. */
export interface ReadyGroup {
  readonly group: WorkerGroup;
  readonly ready: ReadonlySet<string>;
}

/** The offers of some variants, in the orders in which requests want them. */
export class OfferList {
  readonly #variants: readonly ReplicaName[];
  readonly #describe: DescribeOffer;
  #version = -1;
  /** By cost and price, then accuracy, then name. */
  byCost: readonly Offer[] = [];
  /** By accuracy, then cost and price, then name. */
  byAccuracy: readonly Offer[] = [];
  /** By variant, tier and device class. */
  byKind: readonly Offer[] = [];

  constructor(variants: readonly ReplicaName[], describe: DescribeOffer) {
    this.#variants = variants;
    this.#describe = describe;
  }

  /** To be called when `describe` would say something else. */
  invalidate(): void {
    this.#version = -1;
  }

  /** Makes the orders anew, unless they were made of this version of the groups. */
  refresh(version: number, groups: Iterable<ReadyGroup>): void {
    if (this.#version === version) return;
    const named = this.#variants.map((replica) => ({ replica, name: nameOf(replica) }));
    const offers: Offer[] = [];
    for (const { group, ready } of groups) {
      const isReady = (other: ReplicaName) => ready.has(nameOf(other));
      for (const { replica, name } of named) {
        const facts = ready.has(name) ? this.#describe(replica, group.facts, isReady) : undefined;
        if (facts !== undefined) offers.push(offerOf(replica, facts, group));
      }
    }
    this.byCost = offers.toSorted((a, b) => byCost(a, b) || byKind(a, b));
    this.byAccuracy = offers.toSorted((a, b) => b.accuracy - a.accuracy || byCost(a, b) || byKind(a, b));
    this.byKind = offers.toSorted(byKind);
    for (const [index, offer] of this.byKind.entries()) {
      const before = this.byKind[index - 1];
      offer.kind = before !== undefined && byKind(before, offer) === 0 ? before.kind : index;
    }
    this.#version = version;
  }
}

function offerOf({ task, variant, revision }: ReplicaName, facts: OfferFacts, group: WorkerGroup): Offer {
  // All have the same fields in the same order, so that the walk over them stays fast.
  const { model, accuracy, compute, costPicoUsd, worstCostPicoUsd, pricePicoUsd } = facts;
  const { calibration, dominator } = facts;
  const pricedPicoUsd = costPicoUsd + pricePicoUsd;
  return {
    task,
    variant,
    revision,
    group,
    model,
    accuracy,
    compute,
    costPicoUsd,
    worstCostPicoUsd,
    pricePicoUsd,
    pricedPicoUsd,
    calibration,
    dominator,
    kind: 0,
    bound: undefined,
  };
}

/** Whether an offer meets every demand but that of time. */
export function willDo(spec: RequestSpec, offer: Offer, minAccuracy: number): boolean {
  const { tier } = offer.group.facts;
  return (
    offer.accuracy >= minAccuracy &&
    (spec.model === undefined || spec.model === offer.model) &&
    (spec.variant === undefined || spec.variant === offer.variant) &&
    spec.privacy !== 'local_only' &&
    (spec.privacy !== 'no_pool' || tier !== 'pool') &&
    (spec.maxCostPicoUsd === undefined || offer.worstCostPicoUsd <= spec.maxCostPicoUsd) &&
    (offer.dominator === undefined || !canReplace(offer.dominator, spec))
  );
}

/**
 * Whether a dominating variant does for a request what the dominated one would. It may be a little less accurate, within
 * what counts as noise, and of another model.
 */
export function canReplace(
  dominator: Dominator,
  { variant, model, minAccuracy }: Pick<RequestSpec, 'variant' | 'model' | 'minAccuracy'>,
): boolean {
  if (variant !== undefined) return false;
  if (model !== undefined && dominator.model !== model) return false;
  return dominator.accuracy >= minAccuracy;
}

/** Whether only the latency can tell between two offers. */
export function isEquallyGood(a: Offer, b: Offer): boolean {
  return a.pricedPicoUsd === b.pricedPicoUsd && a.accuracy === b.accuracy;
}

/** Cheaper first, of equally cheap ones the more accurate. */
export function byCost(a: Offer, b: Offer): number {
  return a.pricedPicoUsd - b.pricedPicoUsd || b.accuracy - a.accuracy;
}

/** By variant, then tier. */
export function byName(a: Offer, b: Offer): number {
  return compare(a.variant, b.variant) || compare(a.group.facts.tier, b.group.facts.tier);
}

function byKind(a: Offer, b: Offer): number {
  return byName(a, b) || compare(a.group.facts.deviceClass, b.group.facts.deviceClass);
}

/** By the codes of their characters. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A replica's name as one word. */
export function nameOf({ task, variant, revision }: ReplicaName): string {
  return `${task}/${variant}/${revision}`;
}
