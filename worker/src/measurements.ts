import { type Clock, isDrift, LiveSketch, ProfileBook, quantileMs, Sketch } from '@nearfar/core';
import type { ProfileReport, VariantSpec } from '@nearfar/protocol';

/** Batch sizes above this are run but not profiled, as the wire allows no larger ones. */
const MAX_PROFILED_BATCH = 1_024;

/** Share of the runs of a batch that `tailMs` holds for. */
const TAIL_QUANTILE = 0.95;
/** Share of the runs of a batch that are faster than `leastMs`. */
const LEAST_QUANTILE = 0.1;

/** What a replica needs besides the time of its runs; the fields are those of a profile report. */
export type Footprint = Required<
  Pick<
    ProfileReport,
    | 'loadMs'
    | 'downloadMs'
    | 'compileMs'
    | 'firstRunMs'
    | 'memoryBytes'
    | 'peakMemoryBytes'
    | 'modelBytes'
    | 'runtimeBytes'
  >
>;

interface Measured {
  readonly key: ReplicaKey;
  readonly batch: number;
  times: LiveSketch;
  isDirty: boolean;
}

/** Which replica a measurement is of. */
export type ReplicaKey = Pick<VariantSpec, 'task' | 'variant' | 'revision'>;

/** One string for a replica's identity. */
export function replicaName({ task, variant, revision }: ReplicaKey): string {
  return `${task}/${variant}/${revision}`;
}

/**
 * Everything that this worker measured in its present life. What was measured on purpose and live requests feed the same
 * sketches; a report carries a sketch as a whole, under a version that grows.
 *
 * Times that no longer describe the device cease to count: those that live requests have drifted from (`LiveSketch`), and
 * those whose median is further than `DRIFT_FACTOR` from that of a later measurement.
 */
export class Measurements {
  readonly #deviceClass: string;
  readonly #clock: Clock;
  readonly #epoch: string = crypto.randomUUID();
  readonly #measured = new Map<string, Measured>();
  readonly #footprints = new Map<string, Footprint>();
  readonly #ranAt = new Map<string, number>();
  readonly #book = new ProfileBook();
  #version = 0;

  constructor(deviceClass: string, clock: Clock) {
    this.#deviceClass = deviceClass;
    this.#clock = clock;
  }

  /** Notes that a batch of `batch` inputs of live requests took `computeMs`. */
  addLive(key: ReplicaKey, batch: number, computeMs: number): void {
    this.#ranAt.set(replicaName(key), this.#clock.now());
    if (batch > MAX_PROFILED_BATCH) return;
    const measured = this.#at(key, batch);
    measured.times.addLive(computeMs);
    measured.isDirty = true;
  }

  /** Notes what a measurement of batches of `batch` inputs gave: one or more times in milliseconds. */
  addMeasured(key: ReplicaKey, batch: number, timesMs: readonly number[]): void {
    this.#ranAt.set(replicaName(key), this.#clock.now());
    const measured = this.#at(key, batch);
    if (isDrift(measured.times.sketch.quantile(0.5), medianOf(timesMs))) measured.times = new LiveSketch();
    for (const timeMs of timesMs) measured.times.addMeasured(timeMs);
    measured.isDirty = true;
  }

  /** When the replica last ran, on the clock of this worker; undefined when it never did. */
  ranAt(key: ReplicaKey): number | undefined {
    return this.#ranAt.get(replicaName(key));
  }

  /** Notes what a replica needs; it goes out with the next report of each of its batch sizes. */
  setFootprint(key: ReplicaKey, footprint: Footprint): void {
    const name = replicaName(key);
    this.#footprints.set(name, footprint);
    for (const measured of this.#measured.values()) {
      if (replicaName(measured.key) === name) measured.isDirty = true;
    }
  }

  /**
   * Predicted milliseconds of a batch, from what was measured up to the last `takeReports`; undefined when nothing of
   * the replica was.
   */
  serviceMs(key: ReplicaKey, batch: number): number | undefined {
    return this.#book.service({ ...key, deviceClass: this.#deviceClass }, batch)?.compute.meanMs;
  }

  /** Milliseconds that 95 % of batches of this size are predicted to stay below; undefined as `serviceMs`. */
  tailMs(key: ReplicaKey, batch: number): number | undefined {
    return this.#quantileMs(key, batch, TAIL_QUANTILE);
  }

  /**
   * Milliseconds that only one batch of this size in ten is predicted to stay below, far less while few were measured;
   * undefined as `serviceMs`.
   */
  leastMs(key: ReplicaKey, batch: number): number | undefined {
    return this.#quantileMs(key, batch, LEAST_QUANTILE);
  }

  /** Reports of everything that was measured since the last time. */
  takeReports(): ProfileReport[] {
    const dirty = [...this.#measured.values()].filter((measured) => measured.isDirty);
    if (dirty.length === 0) return [];
    this.#version += 1;
    const reports = dirty.map((measured) => this.#report(measured));
    for (const measured of dirty) measured.isDirty = false;
    for (const report of reports) this.#book.absorb({ reporter: 'self', receivedAt: this.#version, report });
    return reports;
  }

  /** Reports of everything, for a coordinator that has just been connected to. */
  allReports(): ProfileReport[] {
    for (const measured of this.#measured.values()) measured.isDirty = true;
    return this.takeReports();
  }

  #quantileMs(key: ReplicaKey, batch: number, quantile: number): number | undefined {
    const service = this.#book.service({ ...key, deviceClass: this.#deviceClass }, batch);
    return service === undefined ? undefined : quantileMs(service.compute, quantile);
  }

  #at({ task, variant, revision }: ReplicaKey, batch: number): Measured {
    const key = { task, variant, revision };
    const name = `${replicaName(key)}#${batch}`;
    const known = this.#measured.get(name);
    if (known !== undefined) return known;
    const measured: Measured = { key, batch, times: new LiveSketch(), isDirty: true };
    this.#measured.set(name, measured);
    return measured;
  }

  #report({ key, batch, times }: Measured): ProfileReport {
    return {
      ...key,
      deviceClass: this.#deviceClass,
      batch,
      epoch: this.#epoch,
      version: this.#version,
      computeMs: times.sketch.toData(),
      ...this.#footprints.get(replicaName(key)),
    };
  }
}

function medianOf(timesMs: readonly number[]): number | undefined {
  const sketch = new Sketch();
  for (const timeMs of timesMs) sketch.add(timeMs);
  return sketch.quantile(0.5);
}
