import { MeshError } from '@nearfar/protocol';

/** Registrations that run at the same time: each of them executes models. */
export const MAX_REGISTRATIONS = 2;

/** The registrations that are under way: one of a task, and few in all. */
export class Registrations {
  readonly #tasks = new Set<string>();
  readonly #onIdle: () => void;

  /** `onIdle` is called when the last one has ended. */
  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  get count(): number {
    return this.#tasks.size;
  }

  /** @throws MeshError `MESH_REGISTRATION_BUSY` while the task is being registered. */
  checkIdle(task: string): void {
    if (!this.#tasks.has(task)) return;
    throw new MeshError('MESH_REGISTRATION_BUSY', `Task "${task}" is being registered`, {
      retryAfterSeconds: 5,
    });
  }

  /**
   * Begins the registration of a task; the returned function ends it.
   *
   * @throws MeshError `MESH_REGISTRATION_BUSY`.
   */
  begin(task: string): () => void {
    this.checkIdle(task);
    if (this.#tasks.size >= MAX_REGISTRATIONS) {
      throw new MeshError(
        'MESH_REGISTRATION_BUSY',
        `${MAX_REGISTRATIONS} tasks are being registered already: ${[...this.#tasks].join(', ')}`,
        { retryAfterSeconds: 5 },
      );
    }
    this.#tasks.add(task);
    return () => {
      if (this.#tasks.delete(task) && this.#tasks.size === 0) this.#onIdle();
    };
  }
}
