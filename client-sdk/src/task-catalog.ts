import { MeshError, type TaskInfo } from '@nearfar/protocol';
import type { Api } from './api.ts';
import { isSameInterface } from './same-interface.ts';
import { SharedCalls } from './shared-calls.ts';

const ALL = 'models';
/** How long a canary is taken for one; after that it may have become the active revision. */
const LOOK_AGAIN_AFTER_MS = 60_000;
const MAX_CANARIES = 64;

/** What a catalog is made of. */
export interface TaskCatalogOptions {
  readonly api: Pick<Api, 'models'>;
  /** Milliseconds on a monotonic scale. */
  readonly now: () => number;
  /** Called with the tasks each time that they were read. */
  readonly onRead: (tasks: readonly TaskInfo[]) => void;
}

/**
 * The tasks of the mesh, read once and again when a task is unknown, is being prepared, or is answered by a revision that
 * this page does not know.
 */
export class TaskCatalog {
  readonly #options: TaskCatalogOptions;
  readonly #reads = new SharedCalls<readonly TaskInfo[], never>();
  /** When a canary was last seen beside the active revision, by task and both revisions; the oldest first. */
  readonly #canaries = new Map<string, number>();
  #tasks: readonly TaskInfo[] = [];
  #begun = 0;
  #kept = 0;

  constructor(options: TaskCatalogOptions) {
    this.#options = options;
  }

  /** The task as last read. @throws MeshError `MESH_UNKNOWN_TASK`. */
  async get(name: string, signal?: AbortSignal): Promise<TaskInfo> {
    return find(this.#tasks, name) ?? (await this.refresh(name, signal));
  }

  /** The task as the mesh has it now. @throws MeshError `MESH_UNKNOWN_TASK`. */
  async refresh(name: string, signal?: AbortSignal): Promise<TaskInfo> {
    const tasks = await this.#read(ALL, signal);
    const task = find(tasks, name);
    if (task !== undefined) return task;
    throw new MeshError('MESH_UNKNOWN_TASK', `Unknown task "${name}"`, {
      details: { tasks: tasks.map((entry) => entry.task) },
    });
  }

  /** Reads the tasks again in the background when `revision` of a known one is not the one that was last read. */
  expect(name: string, revision: number, signal: AbortSignal): void {
    const known = find(this.#tasks, name);
    if (known === undefined || known.revision === revision) return;
    // One that fails shows when the task is used in the revision that is gone.
    this.#read(ALL, signal).catch(() => undefined);
  }

  /** Whether the task was last read in another revision than `made`. */
  isOutdated(made: TaskInfo): boolean {
    return find(this.#tasks, made.task)?.revision !== made.revision;
  }

  /**
   * By what an answer of the task's `revision` can be read, when its inputs were made under `made`. Reads the tasks again
   * when that revision is unknown here. Undefined: the inputs may have meant something else to it, or its answer may.
   */
  async infoFor(made: TaskInfo, revision: number, signal: AbortSignal): Promise<TaskInfo | undefined> {
    if (revision === made.revision) return made;
    const known = find(this.#tasks, made.task);
    const isKnown = known?.revision === revision || (known !== undefined && this.#isCanary(known, revision));
    const info = isKnown ? known : await this.#look(made.task, revision, signal);
    return info !== undefined && isSameInterface(made, info) ? info : undefined;
  }

  /**
   * The active revision, when `revision` is that one or a canary beside it: the mesh gives tensors to no canary whose
   * interface is another one.
   */
  async #look(name: string, revision: number, signal: AbortSignal): Promise<TaskInfo | undefined> {
    // A read of its own: one that was begun before this revision answered may show a canary that has become active since.
    const info = find(await this.#read(`${name}@${revision}`, signal), name);
    if (info === undefined || info.revision === revision) return info;
    if (info.rollout?.revision !== revision) return undefined;
    const key = pairOf(info, revision);
    this.#canaries.delete(key);
    this.#canaries.set(key, this.#options.now());
    for (const oldest of [...this.#canaries.keys()].slice(0, -MAX_CANARIES)) this.#canaries.delete(oldest);
    return info;
  }

  #isCanary(active: TaskInfo, revision: number): boolean {
    const seenAt = this.#canaries.get(pairOf(active, revision));
    return seenAt !== undefined && this.#options.now() - seenAt < LOOK_AGAIN_AFTER_MS;
  }

  #read(key: string, signal: AbortSignal | undefined): Promise<readonly TaskInfo[]> {
    return this.#reads.join(key, { signal }, async (shared) => {
      const { api, onRead } = this.#options;
      this.#begun += 1;
      const order = this.#begun;
      const tasks = await api.models(shared);
      // Reads may overtake each other; what was asked for first is not news any more.
      if (order > this.#kept) {
        this.#kept = order;
        this.#tasks = tasks;
        onRead(tasks);
      }
      return tasks;
    });
  }
}

function find(tasks: readonly TaskInfo[], name: string): TaskInfo | undefined {
  return tasks.find((entry) => entry.task === name);
}

function pairOf({ task, revision: active }: TaskInfo, revision: number): string {
  return `${task} ${active} ${revision}`;
}
