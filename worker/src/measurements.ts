import { ProfileBook, Sketch } from '@nearfar/core';
import type { ProfileReport, VariantSpec } from '@nearfar/protocol';

/** Batch sizes above this are run but not profiled, as the wire allows no larger ones. */
const MAX_PROFILED_BATCH = 1_024;

interface Measured {
  readonly key: Pick<ProfileReport, 'task' | 'variant' | 'revision'>;
  readonly batch: number;
  readonly sketch: Sketch;
  isDirty: boolean;
}

/** Which replica a measurement is of. */
export type ReplicaKey = Pick<VariantSpec, 'task' | 'variant' | 'revision'>;

/** One string for a replica's identity. */
export function replicaName({ task, variant, revision }: ReplicaKey): string {
  return `${task}/${variant}/${revision}`;
}

/**
 * Everything that this worker measured in its present life. Warm-up measurements and live requests feed the same
 * sketches; a report carries a sketch as a whole, under a version that grows.
 */
export class Measurements {
  readonly #deviceClass: string;
  readonly #epoch: string = crypto.randomUUID();
  readonly #measured = new Map<string, Measured>();
  readonly #footprints = new Map<string, { readonly loadMs: number; readonly memoryBytes: number }>();
  readonly #book = new ProfileBook();
  #version = 0;

  constructor(deviceClass: string) {
    this.#deviceClass = deviceClass;
  }

  /** Notes that a batch of `batch` inputs took `computeMs`. */
  add({ task, variant, revision }: ReplicaKey, batch: number, computeMs: number): void {
    if (batch > MAX_PROFILED_BATCH) return;
    const key = { task, variant, revision };
    const name = `${replicaName(key)}#${batch}`;
    let measured = this.#measured.get(name);
    if (measured === undefined) {
      measured = { key, batch, sketch: new Sketch(), isDirty: true };
      this.#measured.set(name, measured);
    }
    measured.sketch.add(computeMs);
    measured.isDirty = true;
  }

  setFootprint(key: ReplicaKey, loadMs: number, memoryBytes: number): void {
    this.#footprints.set(replicaName(key), { loadMs, memoryBytes });
  }

  /**
   * Predicted milliseconds of a batch, from what was measured up to the last `takeReports`; undefined when nothing of
   * the replica was.
   */
  serviceMs(key: ReplicaKey, batch: number): number | undefined {
    return this.#book.service({ ...key, deviceClass: this.#deviceClass }, batch)?.compute.meanMs;
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

  #report({ key, batch, sketch }: Measured): ProfileReport {
    return {
      ...key,
      deviceClass: this.#deviceClass,
      batch,
      epoch: this.#epoch,
      version: this.#version,
      computeMs: sketch.toData(),
      ...this.#footprints.get(replicaName(key)),
    };
  }
}
