import type { RegisteredTask } from '@nearfar/core';

interface TaskUse {
  /** Requests under way, by revision. */
  readonly inFlight: Map<number, number>;
  lastAnsweredAt: number | undefined;
}

/** Which revisions have requests under way, and when a task last gave an answer. */
export class Usage {
  readonly #tasks = new Map<string, TaskUse>();
  readonly #onIdle: (task: RegisteredTask) => void;

  /** `onIdle` is called when the last request of a revision has ended. */
  constructor(onIdle: (task: RegisteredTask) => void) {
    this.#onIdle = onIdle;
  }

  /** Notes that a request of this revision begins; the returned function ends it and may be called twice. */
  enter(task: RegisteredTask): () => void {
    const { inFlight } = this.#of(task.task);
    const { revision } = task;
    inFlight.set(revision, (inFlight.get(revision) ?? 0) + 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      const left = (inFlight.get(revision) ?? 1) - 1;
      if (left > 0) {
        inFlight.set(revision, left);
        return;
      }
      inFlight.delete(revision);
      this.#onIdle(task);
    };
  }

  /** Notes that the task gave an answer at `now`, here or in a page. */
  answered(task: string, now: number): void {
    this.#of(task).lastAnsweredAt = now;
  }

  /** Requests under way: of one revision, or of all. */
  inFlight(task: string, revision?: number): number {
    const counts = this.#tasks.get(task)?.inFlight;
    if (counts === undefined) return 0;
    if (revision !== undefined) return counts.get(revision) ?? 0;
    return [...counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** When the task last gave an answer, on the monotonic clock. */
  lastAnsweredAt(task: string): number | undefined {
    return this.#tasks.get(task)?.lastAnsweredAt;
  }

  /** Forgets a task that was deleted. */
  forget(task: string): void {
    this.#tasks.delete(task);
  }

  #of(task: string): TaskUse {
    let use = this.#tasks.get(task);
    if (use === undefined) {
      use = { inFlight: new Map(), lastAnsweredAt: undefined };
      this.#tasks.set(task, use);
    }
    return use;
  }
}
