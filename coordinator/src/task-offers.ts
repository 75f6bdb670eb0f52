import {
  type Dominator,
  OfferList,
  type PlacementCurve,
  type ProfileBook,
  priceOf,
  quantileMs,
  type RegisteredTask,
  remoteCostPicoUsd,
  type Shift,
  type WorkerPlace,
  ZERO,
} from '@nearfar/core';
import {
  DATATYPE_BYTES,
  elementCount,
  type Moments,
  type Prices,
  type PriceTable,
  type VariantSpec,
} from '@nearfar/protocol';
import type { Calibrations } from './calibrations.ts';
import type { DominanceIndex } from './dominated.ts';

/** JSON around the tensors of an answer, in bytes; only the egress price rests on it. */
const ANSWER_OVERHEAD_BYTES = 512;

/** Quantile of the compute time that the worst case is charged at. */
const WORST_CASE_QUANTILE = 0.99;

/** How often a request is decided again after a refusal or a lost worker. */
export const MAX_REDECISIONS = 2;

/** Executions that the worst case pays for: each try may be lost after it has done all of its work. */
const WORST_CASE_EXECUTIONS = 1 + MAX_REDECISIONS;

/** Facts are found anew at most this often: they follow measurements, which change slowly. */
const RENEW_AFTER_MS = 1_000;

/** A kind of worker, as far as time and cost of a variant rest on it. */
export interface PlaceKind extends Pick<WorkerPlace, 'tier' | 'deviceClass' | 'usdPerHour'> {
  /** The three in one word. */
  readonly name: string;
}

/** What a variant takes and costs at one kind of worker. */
export interface OfferNumbers {
  /** Zero where nobody has measured it. */
  readonly compute: Moments;
  readonly isProfiled: boolean;
  readonly costPicoUsd: number;
  readonly worstCostPicoUsd: number;
  readonly pricePicoUsd: number;
  /** The correction of its latency at a worker of the kind, as it is when asked. */
  readonly curveAt: (workerId: string) => PlacementCurve | undefined;
}

/** What offers are made of. */
export interface OfferSources {
  readonly book: ProfileBook;
  readonly dominance: DominanceIndex;
  readonly calibrations: Calibrations;
  readonly prices: Prices;
  readonly shadowPrices: { readonly table: PriceTable };
}

/**
 * What the variants of one revision of a task take and cost for requests of so many inputs, by kind of worker: found once for
 * all requests, and anew when profiles or prices have changed.
 */
export class TaskOffers {
  /** For the index of the fleet. */
  readonly list: OfferList;
  readonly #sources: OfferSources;
  readonly #task: RegisteredTask;
  readonly #rows: number;
  readonly #numbers = new Map<VariantSpec, Map<string, OfferNumbers>>();
  /** As they were when the list was made, by device class. */
  readonly #dominators = new Map<string, ReadonlyMap<string, VariantSpec>>();
  #madeAt = Number.NEGATIVE_INFINITY;
  #bookVersion = -1;
  #priceTable: PriceTable | undefined;
  /** Whether something has not been measured anywhere; the first measurement of it is not to wait. */
  #isLacking = false;

  constructor(sources: OfferSources, task: RegisteredTask, rows: number) {
    this.#sources = sources;
    this.#task = task;
    this.#rows = rows;
    const variants = new Map(task.variants.map((variant) => [variant.variant, variant]));
    this.list = new OfferList(task.variants, ({ variant: name }, place, isReady) => {
      const variant = variants.get(name);
      const numbers = variant && this.numbers(variant, placeKind(place));
      if (variant === undefined || numbers?.isProfiled !== true) return undefined;
      const better = this.dominators(place.deviceClass).get(name);
      const { compute, costPicoUsd, worstCostPicoUsd, pricePicoUsd } = numbers;
      return {
        compute,
        costPicoUsd,
        worstCostPicoUsd,
        pricePicoUsd,
        model: variant.model,
        accuracy: variant.accuracy.value,
        calibration: sources.calibrations.live(variant, place),
        dominator: better !== undefined && isReady(better) ? dominatorOf(better) : undefined,
      };
    });
  }

  /** Forgets what may have changed since it was found. */
  refresh(now: number): void {
    const { book, shadowPrices } = this.#sources;
    const { table } = shadowPrices;
    const mayBeOld = now - this.#madeAt < RENEW_AFTER_MS && !this.#isLacking;
    const isMeasured = book.version === this.#bookVersion || mayBeOld;
    if (table === this.#priceTable && isMeasured && this.#isDominatedAsBefore()) return;
    this.#numbers.clear();
    this.#dominators.clear();
    this.list.invalidate();
    this.#isLacking = false;
    this.#madeAt = now;
    this.#bookVersion = book.version;
    this.#priceTable = table;
  }

  /** What a variant takes and costs at a kind of worker. */
  numbers(variant: VariantSpec, kind: PlaceKind): OfferNumbers {
    let ofVariant = this.#numbers.get(variant);
    if (ofVariant === undefined) {
      ofVariant = new Map();
      this.#numbers.set(variant, ofVariant);
    }
    let numbers = ofVariant.get(kind.name);
    if (numbers === undefined) {
      numbers = this.#find(variant, kind);
      ofVariant.set(kind.name, numbers);
      if (!numbers.isProfiled) this.#isLacking = true;
    }
    return numbers;
  }

  /** By the name of each dominated variant: the one that is at least as good in everything on this device class. */
  dominators(deviceClass: string): ReadonlyMap<string, VariantSpec> {
    let found = this.#dominators.get(deviceClass);
    if (found === undefined) {
      found = this.#sources.dominance.dominators(this.#task, deviceClass);
      this.#dominators.set(deviceClass, found);
    }
    return found;
  }

  #isDominatedAsBefore(): boolean {
    for (const [deviceClass, known] of this.#dominators) {
      if (this.#sources.dominance.dominators(this.#task, deviceClass) !== known) return false;
    }
    return true;
  }

  #find(variant: VariantSpec, { tier, deviceClass, usdPerHour }: PlaceKind): OfferNumbers {
    const { book, calibrations, prices, shadowPrices } = this.#sources;
    const service = book.service({ ...variant, deviceClass }, this.#rows);
    const compute = service?.compute ?? ZERO;
    const bytes = answerBytes(variant, this.#rows);
    const worstMs = WORST_CASE_EXECUTIONS * quantileMs(compute, WORST_CASE_QUANTILE);
    return {
      compute,
      isProfiled: service !== undefined,
      costPicoUsd: remoteCostPicoUsd(prices, usdPerHour, compute.meanMs, bytes),
      worstCostPicoUsd: remoteCostPicoUsd(prices, usdPerHour, worstMs, bytes),
      pricePicoUsd: Math.round(priceOf(shadowPrices.table, tier, deviceClass) * compute.meanMs),
      curveAt: calibrations.curves(variant, { tier, deviceClass }),
    };
  }
}

/** The kind of a place. */
export function placeKind({ tier, deviceClass, usdPerHour }: Omit<PlaceKind, 'name'>): PlaceKind {
  return { tier, deviceClass, usdPerHour, name: `${tier} ${deviceClass} ${usdPerHour}` };
}

function dominatorOf({ model, accuracy }: VariantSpec): Dominator {
  return { model, accuracy: accuracy.value };
}

function answerBytes(variant: VariantSpec, rows: number): number {
  return variant.outputs.reduce((sum, { datatype, shape }) => {
    const elements = elementCount(shape.map((dimension) => (dimension === -1 ? rows : dimension)));
    return sum + elements * DATATYPE_BYTES[datatype];
  }, ANSWER_OVERHEAD_BYTES);
}

/** Whether two speeds are the same. */
export function isSameSpeed(a: Shift | undefined, b: Shift | undefined): boolean {
  return a?.shift === b?.shift && a?.weight === b?.weight;
}
