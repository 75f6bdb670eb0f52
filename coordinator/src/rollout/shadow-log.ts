/** Requests that are run for comparison at the same time; more are passed over. */
export const MAX_SHADOWS = 2;

/** What came of the requests of which the next revision got a copy. */
export interface ShadowCounts {
  /** Compared with the active revision's answer. */
  readonly compared: number;
  readonly agreed: number;
  /** Not run, since the fleet was busy, or since the next revision takes or gives other tensors. */
  readonly skipped: number;
  /** Run, without an answer. */
  readonly failed: number;
}

/** What came of one of them. */
export type ShadowResult = 'agreed' | 'differed' | 'skipped' | 'failed';

const NONE: ShadowCounts = { compared: 0, agreed: 0, skipped: 0, failed: 0 };

/** How many shadow requests run, and what came of those of each task's next revision, as long as the process lives. */
export class ShadowLog {
  readonly #kept = new Map<string, { readonly revision: number; readonly counts: ShadowCounts }>();
  #running = 0;

  /** Takes one of the `MAX_SHADOWS` places; the returned function gives it back. Undefined when all are taken. */
  begin(): (() => void) | undefined {
    if (this.#running >= MAX_SHADOWS) return undefined;
    this.#running += 1;
    return () => {
      this.#running -= 1;
    };
  }

  /** Counts a request of a task's next revision; those of a former one are forgotten. */
  note(task: string, revision: number, result: ShadowResult): void {
    const { compared, agreed, skipped, failed } = this.counts(task, revision);
    const counts = {
      compared: compared + (result === 'agreed' || result === 'differed' ? 1 : 0),
      agreed: agreed + (result === 'agreed' ? 1 : 0),
      skipped: skipped + (result === 'skipped' ? 1 : 0),
      failed: failed + (result === 'failed' ? 1 : 0),
    };
    this.#kept.set(task, { revision, counts });
  }

  counts(task: string, revision: number): ShadowCounts {
    const kept = this.#kept.get(task);
    return kept?.revision === revision ? kept.counts : NONE;
  }
}
