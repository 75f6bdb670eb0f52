import type { Moments, ProfileReport } from '@nearfar/protocol';
import { Sketch } from './sketch.ts';

/** What is known of a variant on a device class, before it is asked for a batch size. */
export interface ProfileKey {
  readonly task: string;
  readonly variant: string;
  readonly revision: number;
  readonly deviceClass: string;
}

/** A measured (or extrapolated) time of one batch. */
export interface ServiceTime {
  readonly compute: Moments;
  /** Batches that were measured; 0 when another device class or batch size had to stand in. */
  readonly samples: number;
}

/** What else reports say of a variant on a device class besides the time of its batches; see `profileReportSchema`. */
const FOOTPRINT = [
  'loadMs',
  'downloadMs',
  'compileMs',
  'firstRunMs',
  'memoryBytes',
  'peakMemoryBytes',
  'modelBytes',
  'runtimeBytes',
] as const;

/** Load time in parts, memory and bytes of a variant on a device class; what nobody reported is undefined. */
export type Footprint = { readonly [Part in (typeof FOOTPRINT)[number]]: number | undefined };

/** What the batches of one size took, over all that was reported of them. */
export interface MeasuredTimes {
  /** Batches that were measured. */
  readonly samples: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly meanMs: number;
}

/** One line of `GET /v1/profiles`. */
export interface ProfileView extends ProfileKey, Footprint, MeasuredTimes {
  readonly batch: number;
  readonly reporters: number;
  /** Milliseconds since the newest report. */
  readonly ageMs: number;
  /** Whether that is longer than `STALE_AFTER_MS`: then it is to be measured again. */
  readonly isStale: boolean;
}

/** A report with the reporter that made it and the time at which it arrived. */
export interface StoredReport {
  readonly reporter: string;
  readonly receivedAt: number;
  readonly report: ProfileReport;
}

/** Below this many batches the spread is mostly unknown, so the distribution is widened. */
export const MIN_SAMPLES = 30;

/** Reports older than this no longer count as soon as a younger one of the same profile exists. */
export const STALE_AFTER_MS = 24 * 3_600_000;

/** Reporters kept for each profile and batch; the oldest gives way. Bounds what many pages can make us hold. */
export const MAX_REPORTERS = 64;

/** Profiles (variant and device class) that a book holds; the one that was heard of longest ago gives way. */
export const MAX_PROFILES = 4_096;

interface BatchProfile {
  readonly reports: Map<string, StoredReport>;
  /** What follows from the reports; found when somebody asks, since merging many of them takes a millisecond. */
  summary: Summary | undefined;
}

interface Summary {
  readonly service: ServiceTime;
  readonly times: MeasuredTimes;
}

/**
 * All measured profiles, shared by device class: what one worker or page measured predicts every other one of its
 * class. Each reporter sends everything that it measured in its present life (epoch); only its newest version counts,
 * so a report that arrives twice or out of order changes nothing.
 */
export class ProfileBook {
  readonly #profiles = new Map<string, Map<number, BatchProfile>>();
  #version = 0;

  /** Grows with every change, so that what was found out of the book can be kept until there is one. */
  get version(): number {
    return this.#version;
  }

  /**
   * Takes in one report; returns false when a newer one of the same reporter and epoch was already there.
   * A new epoch replaces the reporter's former one.
   */
  absorb(stored: StoredReport): boolean {
    const { report, reporter } = stored;
    const name = keyOf(report);
    const batches = this.#profiles.get(name) ?? new Map<number, BatchProfile>();
    // Set anew, so that the map stays in the order in which profiles were heard of.
    this.#profiles.delete(name);
    this.#profiles.set(name, batches);
    if (this.#profiles.size > MAX_PROFILES) {
      const [oldest] = this.#profiles.keys();
      if (oldest !== undefined) this.#profiles.delete(oldest);
    }
    const profile = getOrCreate(batches, report.batch, () => ({ reports: new Map(), summary: undefined }));
    const known = profile.reports.get(reporter);
    const isOlder =
      known !== undefined &&
      (known.report.epoch === report.epoch
        ? known.report.version >= report.version
        : known.receivedAt > stored.receivedAt);
    if (isOlder) return false;
    profile.reports.delete(reporter);
    profile.reports.set(reporter, stored);
    if (profile.reports.size > MAX_REPORTERS) {
      const [oldest] = profile.reports.keys();
      if (oldest !== undefined) profile.reports.delete(oldest);
    }
    profile.summary = undefined;
    this.#version += 1;
    return true;
  }

  /**
   * Time of one batch of `batch` inputs, or undefined when the device class never ran the variant.
   * A batch size that was not measured is interpolated between, or scaled in proportion from, the measured ones.
   */
  service(key: ProfileKey, batch: number): ServiceTime | undefined {
    const batches = this.#profiles.get(keyOf(key));
    if (batches === undefined) return undefined;
    const exact = batches.get(batch);
    if (exact !== undefined) return summaryOf(exact).service;

    const sizes = [...batches.keys()].sort((a, b) => a - b);
    const below = sizes.findLast((size) => size < batch);
    const above = sizes.find((size) => size > batch);
    if (below !== undefined && above !== undefined) {
      return interpolate(
        this.#at(batches, below),
        this.#at(batches, above),
        (batch - below) / (above - below),
      );
    }
    const nearest = below ?? above;
    if (nearest === undefined) return undefined;
    return scale(this.#at(batches, nearest), Math.max(1, batch / nearest));
  }

  /** What batches of this size took, or undefined when none was measured. */
  measured(key: ProfileKey, batch: number): MeasuredTimes | undefined {
    const profile = this.#profiles.get(keyOf(key))?.get(batch);
    return profile === undefined ? undefined : summaryOf(profile).times;
  }

  /** Load time, memory and bytes of a variant on a device class: of each part what was reported last. */
  footprint(key: ProfileKey): Footprint {
    const newestFirst = [...(this.#profiles.get(keyOf(key))?.values() ?? [])]
      .flatMap((profile) => [...profile.reports.values()])
      .sort((a, b) => b.receivedAt - a.receivedAt || b.report.version - a.report.version);
    const newest = (part: keyof Footprint) =>
      newestFirst.find(({ report }) => report[part] !== undefined)?.report[part];
    return Object.fromEntries(FOOTPRINT.map((part) => [part, newest(part)])) as Footprint;
  }

  /** Forgets a variant on every device class. */
  forget({ task, variant, revision }: Omit<ProfileKey, 'deviceClass'>): void {
    const prefix = keyOf({ task, variant, revision, deviceClass: '' });
    for (const name of this.#profiles.keys()) if (name.startsWith(prefix)) this.#profiles.delete(name);
    this.#version += 1;
  }

  /** Every profile, or those of one task, as a line, sorted by task, variant, device class and batch. `now` dates the ages. */
  view(now: number, ofTask?: string): ProfileView[] {
    const lines: ProfileView[] = [];
    for (const [name, batches] of this.#profiles) {
      if (ofTask !== undefined && !name.startsWith(`${ofTask}/`)) continue;
      let footprint: Footprint | undefined;
      for (const profile of batches.values()) {
        const stored = [...profile.reports.values()];
        const [first] = stored;
        if (first === undefined) continue;
        const { task, variant, revision, deviceClass, batch } = first.report;
        footprint ??= this.footprint(first.report);
        const newest = Math.max(...stored.map((entry) => entry.receivedAt));
        lines.push({
          task,
          variant,
          revision,
          deviceClass,
          batch,
          reporters: stored.length,
          ...summaryOf(profile).times,
          ...footprint,
          ageMs: Math.max(0, now - newest),
          isStale: now - newest > STALE_AFTER_MS,
        });
      }
    }
    return lines.sort(
      (a, b) =>
        a.task.localeCompare(b.task) ||
        a.variant.localeCompare(b.variant) ||
        a.revision - b.revision ||
        a.deviceClass.localeCompare(b.deviceClass) ||
        a.batch - b.batch,
    );
  }

  /** Every report, for a store that wants to keep them. */
  *reports(): Generator<StoredReport> {
    for (const batches of this.#profiles.values()) {
      for (const profile of batches.values()) yield* profile.reports.values();
    }
  }

  #at(batches: Map<number, BatchProfile>, size: number): ServiceTime {
    const profile = batches.get(size);
    if (profile === undefined) throw new RangeError(`Expected batch size ${size} to be profiled`);
    return summaryOf(profile).service;
  }
}

/**
 * Widens a distribution that rests on few samples: the variance of the mean itself, s²/n, is added, and the spread
 * is assumed to be at least the mean times 1/√n, so that one lucky sample never looks certain.
 */
export function widen(compute: Moments, samples: number): Moments {
  if (samples >= MIN_SAMPLES) return compute;
  const count = Math.max(1, samples);
  const floor = (compute.meanMs * compute.meanMs) / count;
  return { meanMs: compute.meanMs, varianceMs2: Math.max(compute.varianceMs2 * (1 + 1 / count), floor) };
}

/**
 * What a device is predicted to take, from its own measurements and those of its class: pooled moments, in which the
 * class weighs as much as the samples that the device still lacks to `MIN_SAMPLES`. A device that has run nothing is
 * predicted by its class, one that has run enough by itself.
 */
export function blend(own: ServiceTime, known: ServiceTime | undefined): ServiceTime {
  const lent = Math.min(known?.samples ?? 0, Math.max(0, MIN_SAMPLES - own.samples));
  if (known === undefined || lent === 0) return own;
  const samples = own.samples + lent;
  const mix = (a: number, b: number) => (own.samples * a + lent * b) / samples;
  const meanMs = mix(own.compute.meanMs, known.compute.meanMs);
  // Variance about the common mean: E[x²] − mean².
  const square = ({ meanMs: mean, varianceMs2 }: Moments) => varianceMs2 + mean * mean;
  const varianceMs2 = Math.max(0, mix(square(own.compute), square(known.compute)) - meanMs * meanMs);
  return { compute: { meanMs, varianceMs2 }, samples };
}

function summaryOf(profile: BatchProfile): Summary {
  profile.summary ??= summarise(mergedSketch([...profile.reports.values()]));
  return profile.summary;
}

function summarise(sketch: Sketch): Summary {
  const moments = sketch.moments() ?? { meanMs: 0, varianceMs2: 0 };
  const { count: samples } = sketch;
  return {
    service: { compute: widen(moments, samples), samples },
    times: {
      samples,
      p50Ms: sketch.quantile(0.5) ?? 0,
      p90Ms: sketch.quantile(0.9) ?? 0,
      p99Ms: sketch.quantile(0.99) ?? 0,
      meanMs: moments.meanMs,
    },
  };
}

function mergedSketch(stored: readonly StoredReport[]): Sketch {
  const newest = Math.max(...stored.map((entry) => entry.receivedAt));
  const merged = new Sketch();
  for (const entry of stored) {
    if (newest - entry.receivedAt > STALE_AFTER_MS) continue;
    merged.merge(Sketch.fromData(entry.report.computeMs));
  }
  return merged;
}

function interpolate(low: ServiceTime, high: ServiceTime, share: number): ServiceTime {
  const mix = (a: number, b: number) => a + (b - a) * share;
  return {
    compute: {
      meanMs: mix(low.compute.meanMs, high.compute.meanMs),
      varianceMs2: mix(low.compute.varianceMs2, high.compute.varianceMs2),
    },
    samples: Math.min(low.samples, high.samples),
  };
}

function scale(service: ServiceTime, factor: number): ServiceTime {
  const { meanMs, varianceMs2 } = service.compute;
  return {
    compute: { meanMs: meanMs * factor, varianceMs2: varianceMs2 * factor * factor },
    samples: service.samples,
  };
}

function keyOf(key: ProfileKey): string {
  return `${key.task}/${key.variant}/${key.revision}@${key.deviceClass}`;
}

function getOrCreate<Key, Value>(map: Map<Key, Value>, key: Key, create: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}
