import type { ArtifactStore, ProfileBook, ProfileStore, RegisteredTask } from '@nearfar/core';
import type { VariantSpec } from '@nearfar/protocol';

/** What the collector needs from its coordinator. */
export interface CollectorParts {
  /** The revisions that are named by a record or used by a request. */
  readonly kept: () => readonly RegisteredTask[];
  readonly artifacts: ArtifactStore;
  readonly profiles: ProfileStore;
  /** What is known of variants, besides what is stored. */
  readonly books: readonly Pick<ProfileBook, 'forget'>[];
  /** Whether registrations are under way: they count on files that no record names yet. */
  readonly isRegistering: () => boolean;
  readonly background: (what: string, work: Promise<unknown>) => void;
}

/**
 * Deletes what revisions leave behind that are not kept any more: their files and their profiles. Only what a record once
 * named is ever deleted, so files that were sent ahead of a registration stay.
 */
export class Collector {
  readonly #parts: CollectorParts;
  readonly #files = new Set<string>();

  constructor(parts: CollectorParts) {
    this.#parts = parts;
  }

  /** Takes over revisions that fell out of their record, or that nobody uses any more. */
  forget(gone: readonly RegisteredTask[]): void {
    const { books, profiles, background } = this.#parts;
    const kept = new Set(variantsOf(this.#parts.kept()).map(keyOf));
    const lost = variantsOf(gone).filter((variant) => !kept.has(keyOf(variant)));
    for (const variant of lost) for (const book of books) book.forget(variant);
    if (lost.length > 0) background('forget profiles', profiles.delete(lost));
    for (const sha256 of filesOf(gone)) this.#files.add(sha256);
    this.collect();
  }

  /** Deletes the files; while registrations are under way, later. */
  collect(): void {
    const { artifacts, isRegistering, background } = this.#parts;
    if (isRegistering() || this.#files.size === 0) return;
    const kept = new Set(filesOf(this.#parts.kept()));
    const lost = [...this.#files].filter((sha256) => !kept.has(sha256));
    this.#files.clear();
    for (const sha256 of lost) background('delete artifact', artifacts.delete(sha256));
  }
}

function variantsOf(tasks: readonly RegisteredTask[]): VariantSpec[] {
  return tasks.flatMap(({ variants }) => variants);
}

function filesOf(tasks: readonly RegisteredTask[]): string[] {
  return variantsOf(tasks).flatMap(({ artifacts, golden }) =>
    [...artifacts, ...(golden === undefined ? [] : [golden])].map(({ sha256 }) => sha256),
  );
}

function keyOf({ task, variant, revision }: VariantSpec): string {
  return `${task}/${variant}/${revision}`;
}
