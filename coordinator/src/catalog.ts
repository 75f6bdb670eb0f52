import type { RegisteredTask, RegistryStore, TaskRecord } from '@nearfar/core';
import { MeshError, type VariantSpec } from '@nearfar/protocol';

/** The registered tasks, in memory and in the registry. */
export class Catalog {
  readonly #registry: RegistryStore;
  readonly #records = new Map<string, TaskRecord>();

  private constructor(registry: RegistryStore) {
    this.#registry = registry;
  }

  /** Opens the catalog with what the registry holds. */
  static async open(registry: RegistryStore): Promise<Catalog> {
    const catalog = new Catalog(registry);
    for (const record of await registry.list()) catalog.#records.set(record.active.task, record);
    return catalog;
  }

  /** Keeps a task's record, or replaces it as a whole. */
  async put(record: TaskRecord): Promise<void> {
    await this.#registry.put(record);
    this.#records.set(record.active.task, record);
  }

  /** Forgets a task with all of its revisions. */
  async delete(task: string): Promise<void> {
    await this.#registry.delete(task);
    this.#records.delete(task);
  }

  /** Every record, by the task's name. */
  records(): readonly TaskRecord[] {
    return [...this.#records.values()].sort((a, b) => (a.active.task < b.active.task ? -1 : 1));
  }

  /** The active revision of every task, by name. */
  list(): readonly RegisteredTask[] {
    return this.records().map(({ active }) => active);
  }

  record(task: string): TaskRecord | undefined {
    return this.#records.get(task);
  }

  /** A variant of any revision that is kept: pages and workers may still speak of a former one. */
  findVariant(task: string, variant: string, revision: number): VariantSpec | undefined {
    const record = this.#records.get(task);
    if (record === undefined) return undefined;
    for (const { variants } of revisionsOf(record)) {
      const found = variants.find((entry) => entry.variant === variant && entry.revision === revision);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** @throws MeshError `MESH_UNKNOWN_TASK`. */
  known(name: string): TaskRecord {
    const record = this.#records.get(name);
    if (record !== undefined) return record;
    throw new MeshError('MESH_UNKNOWN_TASK', `Unknown task "${name.slice(0, 128)}"`, {
      details: { tasks: [...this.#records.keys()].sort().slice(0, 64) },
    });
  }
}

/** The revisions of a record: the active one, what comes next, what came before. */
export function revisionsOf({ active, next, previous }: TaskRecord): readonly RegisteredTask[] {
  return [active, ...(next === undefined ? [] : [next.task]), ...(previous === undefined ? [] : [previous])];
}

/** @throws MeshError `MESH_UNKNOWN_VARIANT`. */
export function variantOf(task: RegisteredTask, name: string): VariantSpec {
  const variant = task.variants.find((entry) => entry.variant === name);
  if (variant !== undefined) return variant;
  throw new MeshError('MESH_UNKNOWN_VARIANT', `Task "${task.task}" has no variant "${name.slice(0, 128)}"`, {
    details: { variants: task.variants.map((entry) => entry.variant) },
  });
}
