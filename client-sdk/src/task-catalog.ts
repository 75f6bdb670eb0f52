import { MeshError, type TaskInfo } from '@nearfar/protocol';
import type { Api } from './api.ts';
import { SharedCalls } from './shared-calls.ts';

const ALL = 'models';

/** The tasks of the mesh, read once and again when a task is unknown or is being prepared. */
export class TaskCatalog {
  readonly #api: Api;
  readonly #reads = new SharedCalls<readonly TaskInfo[], never>();
  #tasks: readonly TaskInfo[] = [];

  constructor(api: Api) {
    this.#api = api;
  }

  /** The task as last read. @throws MeshError `MESH_UNKNOWN_TASK`. */
  async get(name: string, signal?: AbortSignal): Promise<TaskInfo> {
    return this.#find(name) ?? (await this.refresh(name, signal));
  }

  /** The task as the mesh has it now. @throws MeshError `MESH_UNKNOWN_TASK`. */
  async refresh(name: string, signal?: AbortSignal): Promise<TaskInfo> {
    this.#tasks = await this.#reads.join(ALL, { signal }, (shared) => this.#api.models(shared));
    const task = this.#find(name);
    if (task !== undefined) return task;
    throw new MeshError('MESH_UNKNOWN_TASK', `Unknown task "${name}"`, {
      details: { tasks: this.#tasks.map((entry) => entry.task) },
    });
  }

  #find(name: string): TaskInfo | undefined {
    return this.#tasks.find((entry) => entry.task === name);
  }
}
