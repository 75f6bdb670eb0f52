import { type Clock, dominance, type ProfileBook, type RegisteredTask } from '@nearfar/core';
import type { VariantSpec } from '@nearfar/protocol';

/** Who dominates whom is found anew at most this often: it follows measurements, which change slowly. */
const RENEW_AFTER_MS = 1_000;

/** Accuracy that variants of one model may differ by, 0 to 1: what a registration accepts where nothing else is asked for. */
export const MAX_ACCURACY_DROP = 0.01;

/** Device classes of which the answer is kept for a task; pages may name any number of them. */
const MAX_CLASSES = 256;

interface Known {
  readonly foundAt: number;
  readonly bookVersion: number;
  /** The dominating variant by dominated variant. */
  readonly dominators: ReadonlyMap<string, VariantSpec>;
}

/** Which variants are not worth choosing on which device classes, kept per revision of a task. */
export class DominanceIndex {
  readonly #book: ProfileBook;
  readonly #clock: Clock;
  readonly #known = new WeakMap<RegisteredTask, Map<string, Known>>();

  constructor(book: ProfileBook, clock: Clock) {
    this.#book = book;
    this.#clock = clock;
  }

  /** By the name of each dominated variant: the one that is at least as good in everything on this device class. */
  dominators(task: RegisteredTask, deviceClass: string): ReadonlyMap<string, VariantSpec> {
    const now = this.#clock.now();
    const { version: bookVersion } = this.#book;
    const ofTask = this.#known.get(task) ?? new Map<string, Known>();
    this.#known.set(task, ofTask);
    const known = ofTask.get(deviceClass);
    if (known !== undefined && (known.bookVersion === bookVersion || now - known.foundAt < RENEW_AFTER_MS)) {
      return known.dominators;
    }
    if (known === undefined && ofTask.size >= MAX_CLASSES) ofTask.clear();
    const dominators = this.#find(task, deviceClass);
    ofTask.set(deviceClass, { foundAt: now, bookVersion, dominators });
    return dominators;
  }

  /** Looks at this device class alone: pages make up many of them, and requests wait for the answer. */
  #find(task: RegisteredTask, deviceClass: string): ReadonlyMap<string, VariantSpec> {
    // Cascades are served to whoever pins them, so they neither dominate nor are dominated yet.
    const variants = task.variants.filter(({ format }) => format !== 'cascade');
    const profiles = variants.flatMap((variant) => {
      const times = this.#book.measured({ ...variant, deviceClass }, 1);
      return times === undefined ? [] : [{ ...variant, deviceClass, batch: 1, ...times }];
    });
    const found = new Map<string, VariantSpec>();
    for (const { variant, by } of dominance(variants, profiles, MAX_ACCURACY_DROP)) {
      const dominator = variants.find((entry) => entry.variant === by);
      if (dominator !== undefined) found.set(variant, dominator);
    }
    return found;
  }
}
