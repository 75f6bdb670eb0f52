import { type Clock, dominance, type ProfileBook, type RegisteredTask } from '@nearfar/core';
import type { VariantSpec } from '@nearfar/protocol';

/** Who dominates whom is found anew at most this often: it follows measurements, which change slowly. */
const RENEW_AFTER_MS = 1_000;

/** Accuracy that variants of one model may differ by, 0 to 1: what a registration accepts where nothing else is asked for. */
export const MAX_ACCURACY_DROP = 0.01;

const NONE: ReadonlyMap<string, VariantSpec> = new Map();

interface Known {
  readonly foundAt: number;
  readonly bookVersion: number;
  /** The dominating variant by device class and dominated variant. */
  readonly byDeviceClass: ReadonlyMap<string, ReadonlyMap<string, VariantSpec>>;
}

/** Which variants are not worth choosing on which device classes, kept per revision of a task. */
export class DominanceIndex {
  readonly #book: ProfileBook;
  readonly #clock: Clock;
  readonly #known = new WeakMap<RegisteredTask, Known>();

  constructor(book: ProfileBook, clock: Clock) {
    this.#book = book;
    this.#clock = clock;
  }

  /** By the name of each dominated variant: the one that is at least as good in everything on this device class. */
  dominators(task: RegisteredTask, deviceClass: string): ReadonlyMap<string, VariantSpec> {
    return this.#of(task).byDeviceClass.get(deviceClass) ?? NONE;
  }

  #of(task: RegisteredTask): Known {
    const now = this.#clock.now();
    const known = this.#known.get(task);
    const isFresh =
      known !== undefined &&
      (known.bookVersion === this.#book.version || now - known.foundAt < RENEW_AFTER_MS);
    if (isFresh) return known;
    const found = { foundAt: now, bookVersion: this.#book.version, byDeviceClass: this.#find(task) };
    this.#known.set(task, found);
    return found;
  }

  #find(task: RegisteredTask): Known['byDeviceClass'] {
    // Cascades are served to whoever pins them, so they neither dominate nor are dominated yet.
    const variants = task.variants.filter(({ format }) => format !== 'cascade');
    const profiles = this.#book.view(this.#clock.wallTime(), task.task);
    const found = new Map<string, Map<string, VariantSpec>>();
    for (const { variant, deviceClass, by } of dominance(variants, profiles, MAX_ACCURACY_DROP)) {
      const dominator = variants.find((entry) => entry.variant === by);
      const known = found.get(deviceClass) ?? new Map<string, VariantSpec>();
      if (dominator !== undefined) found.set(deviceClass, known.set(variant, dominator));
    }
    return found;
  }
}
