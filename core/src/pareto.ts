import { type Accuracy, DATATYPE_BYTES, type Prices, type Tier, type VariantSpec } from '@nearfar/protocol';
import { browserCostPicoUsd, pagePrices, remoteCostPicoUsd, toUsd } from './cost.ts';
import type { ProfileView } from './profile.ts';

/**
 * Batches that both variants must have run on a device class before their speeds are compared: what a worker measures
 * when it loads one. With 20 samples the 95 % interval of a median reaches from the 6th to the 15th of them.
 */
export const MIN_COMPARED_SAMPLES = 20;

/** Medians that differ by less than this share count as equal, so that measurement noise decides nothing. */
export const SPEED_MARGIN = 0.05;

/** What is compared: a variant's figures that hold everywhere. */
export type ComparedVariant = Pick<
  VariantSpec,
  'variant' | 'revision' | 'model' | 'format' | 'accuracy' | 'artifacts' | 'cascade' | 'outputs'
>;

/** A variant's speed on a device class, as the profile book shows it. */
export type ComparedProfile = Pick<
  ProfileView,
  'variant' | 'revision' | 'deviceClass' | 'batch' | 'samples' | 'p50Ms' | 'p99Ms' | 'meanMs'
>;

/** A variant that is never worth choosing on a device class, since another one is at least as good in everything. */
export interface Dominated {
  readonly variant: string;
  readonly deviceClass: string;
  /** The fastest of those that dominate it and are not dominated themselves. */
  readonly by: string;
}

/** A kind of place where variants run, and what its time costs. */
export type Place =
  | { readonly tier: 'browser'; readonly deviceClass: string }
  | { readonly tier: 'edge' | 'pool'; readonly deviceClass: string; readonly usdPerHour: number };

/** What a thousand requests cost in a tier, one at a time. */
export interface TierCost {
  readonly tier: Tier;
  readonly usdPer1000: number;
}

/** A variant's cell of the table for one device class. */
export interface ParetoCell {
  readonly deviceClass: string;
  /** At batch 1, in milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly samples: number;
  /** One for each tier with that device class, in the order of the places; empty when nobody says what it costs. */
  readonly costs: readonly TierCost[];
  /** The variant that makes this one not worth choosing here. */
  readonly dominatedBy: string | undefined;
}

/** A variant's line of the table. */
export interface ParetoLine {
  readonly variant: string;
  readonly accuracy: Accuracy;
  readonly sizeBytes: number;
  /** Sorted by device class. */
  readonly cells: readonly ParetoCell[];
}

/** One variant on one device class. */
interface Figures {
  readonly variant: ComparedVariant;
  readonly sizeBytes: number;
  readonly p50Ms: number;
}

/** Bytes of the files that a variant needs, each once; those of a cascade are its stages'. */
export function variantBytes(
  variant: Pick<VariantSpec, 'artifacts' | 'cascade'>,
  variants: readonly Pick<VariantSpec, 'variant' | 'artifacts'>[],
): number {
  const stages = [variant.cascade?.small, variant.cascade?.large];
  const files = [variant, ...variants.filter((other) => stages.includes(other.variant))].flatMap(
    ({ artifacts }) => artifacts,
  );
  const sizes = new Map(files.map(({ sha256, sizeBytes }) => [sha256, sizeBytes]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/**
 * Which variants of one task are dominated, and where: one entry for each (variant, device class), sorted by both.
 *
 * A variant dominates another when it is at least as fast (median at batch 1), not larger and at least as accurate, and
 * really better in one of them. Speeds within `SPEED_MARGIN` are equal. Between two variants that were made from one model
 * an accuracy difference of up to `maxAccuracyDrop` is noise, so that there speed and size alone count. A variant without
 * a profile of `MIN_COMPARED_SAMPLES` at its present revision neither dominates nor is dominated.
 *
 * "Equal within a margin" is not transitive: A may beat B, B beat C, and C beat A. Variants in such a ring do not dominate
 * each other. And only what is not dominated itself dominates, so that margins do not add up along a chain: for each
 * dominated variant there is one to choose that is directly as good, and on each device class at least one variant is left.
 *
 * @param maxAccuracyDrop what the registration accepted, 0 to 1.
 */
export function dominance(
  variants: readonly ComparedVariant[],
  profiles: readonly ComparedProfile[],
  maxAccuracyDrop: number,
): Dominated[] {
  const deviceClasses = [...new Set(profiles.map(({ deviceClass }) => deviceClass))];
  return deviceClasses
    .flatMap((deviceClass) => {
      const figures = variants.flatMap((variant) => {
        const profile = profileOf(variant, deviceClass, profiles);
        if (profile === undefined || profile.samples < MIN_COMPARED_SAMPLES) return [];
        return [{ variant, sizeBytes: variantBytes(variant, variants), p50Ms: profile.p50Ms }];
      });
      return dominatedAmong(figures, maxAccuracyDrop).map((entry) => ({ ...entry, deviceClass }));
    })
    .sort((a, b) => a.variant.localeCompare(b.variant) || a.deviceClass.localeCompare(b.deviceClass));
}

/** The table of a task's variants in the order of `variants`: what each one is worth, and where it is dominated. */
export function paretoLines({
  variants,
  profiles,
  places,
  prices,
  maxAccuracyDrop,
}: {
  readonly variants: readonly ComparedVariant[];
  readonly profiles: readonly ComparedProfile[];
  /** Where the mesh runs things at present; a place that is named twice counts once. */
  readonly places: readonly Place[];
  readonly prices: Prices;
  readonly maxAccuracyDrop: number;
}): ParetoLine[] {
  const dominated = dominance(variants, profiles, maxAccuracyDrop);
  const deviceClasses = [...new Set(profiles.map(({ deviceClass }) => deviceClass))].sort((a, b) =>
    a.localeCompare(b),
  );
  return variants.map((variant) => {
    const sizeBytes = variantBytes(variant, variants);
    const cells = deviceClasses.flatMap((deviceClass): ParetoCell[] => {
      const profile = profileOf(variant, deviceClass, profiles);
      if (profile === undefined) return [];
      const { p50Ms, p99Ms, samples } = profile;
      const costs = costsOf(variant, sizeBytes, profile, places, prices);
      const dominatedBy = dominated.find(
        (entry) => entry.variant === variant.variant && entry.deviceClass === deviceClass,
      )?.by;
      return [{ deviceClass, p50Ms, p99Ms, samples, costs, dominatedBy }];
    });
    return { variant: variant.variant, accuracy: variant.accuracy, sizeBytes, cells };
  });
}

function profileOf(
  { variant, revision }: ComparedVariant,
  deviceClass: string,
  profiles: readonly ComparedProfile[],
): ComparedProfile | undefined {
  return profiles.find(
    (profile) =>
      profile.variant === variant &&
      profile.revision === revision &&
      profile.deviceClass === deviceClass &&
      profile.batch === 1,
  );
}

function dominatedAmong(
  figures: readonly Figures[],
  maxAccuracyDrop: number,
): { variant: string; by: string }[] {
  // Fastest first, so that the first dominator that is found is the fastest; the name makes the order total.
  const sorted = figures.toSorted(
    (a, b) => a.p50Ms - b.p50Ms || a.variant.variant.localeCompare(b.variant.variant),
  );
  const beats = sorted.map((a) => sorted.map((b) => a !== b && isBetter(a, b, maxAccuracyDrop)));
  const reaches = closure(beats);
  const dominators = sorted.map((_, b) =>
    sorted.flatMap((_, a) => (beats[a]?.[b] && !reaches[b]?.[a] ? [a] : [])),
  );

  // Without rings, whether a variant is dominated follows from its dominators alone: the kernel of an acyclic graph.
  const known = new Map<number, number | undefined>();
  const dominatorOf = (index: number): number | undefined => {
    if (!known.has(index)) {
      known.set(
        index,
        dominators[index]?.find((dominator) => dominatorOf(dominator) === undefined),
      );
    }
    return known.get(index);
  };
  return sorted.flatMap(({ variant }, index) => {
    const by = dominatorOf(index);
    return by === undefined ? [] : [{ variant: variant.variant, by: sorted[by]?.variant.variant ?? '' }];
  });
}

function isBetter(a: Figures, b: Figures, maxAccuracyDrop: number): boolean {
  const faster = b.p50Ms - a.p50Ms;
  const margin = SPEED_MARGIN * Math.max(a.p50Ms, b.p50Ms);
  const smaller = b.sizeBytes - a.sizeBytes;
  const gain = a.variant.accuracy.value - b.variant.accuracy.value;
  const isOneModel =
    a.variant.model === b.variant.model && a.variant.format !== 'cascade' && b.variant.format !== 'cascade';
  // 0.91 − 0.9 is a little more than 0.01 in floating point.
  const moreAccurate = isOneModel && Math.abs(gain) <= maxAccuracyDrop + 1e-9 ? 0 : gain;
  const isAsGood = faster >= -margin && smaller >= 0 && moreAccurate >= 0;
  return isAsGood && (faster > margin || smaller > 0 || moreAccurate > 0);
}

/** Which points of a graph can be reached from which (Warshall, JACM 1962). */
function closure(edges: readonly (readonly boolean[])[]): boolean[][] {
  const reaches = edges.map((row) => [...row]);
  for (const [middle, onwards] of reaches.entries()) {
    for (const row of reaches) {
      if (!row[middle]) continue;
      for (const [end, isReached] of onwards.entries()) if (isReached) row[end] = true;
    }
  }
  return reaches;
}

/** The mean is what a sum of requests costs on average, so it is used here and not the median. */
function costsOf(
  variant: ComparedVariant,
  sizeBytes: number,
  { deviceClass, meanMs }: ComparedProfile,
  places: readonly Place[],
  prices: Prices,
): TierCost[] {
  const costs = new Map<Tier, number>();
  for (const place of places) {
    if (place.deviceClass !== deviceClass || costs.has(place.tier)) continue;
    const picoUsd =
      place.tier === 'browser'
        ? browserCostPicoUsd(pagePrices(prices), meanMs, sizeBytes)
        : remoteCostPicoUsd(prices, place.usdPerHour, meanMs, answerBytes(variant));
    costs.set(place.tier, toUsd(picoUsd * 1000));
  }
  return [...costs].map(([tier, usdPer1000]) => ({ tier, usdPer1000 }));
}

/** Bytes of one answer as binary tensors; a free dimension counts as 1. */
function answerBytes({ outputs }: ComparedVariant): number {
  return outputs.reduce((sum, { datatype, shape }) => {
    const elements = shape.reduce((count, dimension) => count * Math.max(1, dimension), 1);
    return sum + elements * DATATYPE_BYTES[datatype];
  }, 0);
}
