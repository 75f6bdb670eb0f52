import type { RegisteredTask, RegistryStore } from '@nearfar/core';
import { MeshError, type TaskInfo, type Tier, type VariantSpec } from '@nearfar/protocol';

/** The registered tasks, in memory and in the registry. */
export class Catalog {
  readonly #registry: RegistryStore;
  readonly #tasks = new Map<string, RegisteredTask>();

  private constructor(registry: RegistryStore) {
    this.#registry = registry;
  }

  /** Opens the catalog with what the registry holds. */
  static async open(registry: RegistryStore): Promise<Catalog> {
    const catalog = new Catalog(registry);
    for (const task of await registry.list()) catalog.#tasks.set(task.task, task);
    return catalog;
  }

  /** Registers a task or replaces the one of that name. */
  async put(task: RegisteredTask): Promise<void> {
    await this.#registry.put(task);
    this.#tasks.set(task.task, task);
  }

  /** Every task, by name. */
  list(): readonly RegisteredTask[] {
    return [...this.#tasks.values()].sort((a, b) => (a.task < b.task ? -1 : 1));
  }

  /** Every variant of every task. */
  variants(): readonly VariantSpec[] {
    return this.list().flatMap((task) => task.variants);
  }

  find(task: string): RegisteredTask | undefined {
    return this.#tasks.get(task);
  }

  /** @throws MeshError `MESH_UNKNOWN_TASK`. */
  task(name: string): RegisteredTask {
    const task = this.#tasks.get(name);
    if (task !== undefined) return task;
    throw new MeshError('MESH_UNKNOWN_TASK', `Unknown task "${name.slice(0, 128)}"`, {
      details: { tasks: [...this.#tasks.keys()].sort().slice(0, 64) },
    });
  }

  /** @throws MeshError `MESH_UNKNOWN_VARIANT`. */
  variant(task: RegisteredTask, name: string): VariantSpec {
    const variant = task.variants.find((entry) => entry.variant === name);
    if (variant !== undefined) return variant;
    throw new MeshError(
      'MESH_UNKNOWN_VARIANT',
      `Task "${task.task}" has no variant "${name.slice(0, 128)}"`,
      {
        details: { variants: task.variants.map((entry) => entry.variant) },
      },
    );
  }
}

/** Tiers that can run a variant: browsers run both formats, workers run ONNX. */
export function tiersOf(variant: VariantSpec): Tier[] {
  return variant.format === 'onnx' ? ['browser', 'edge', 'pool'] : ['browser'];
}

/** A task as pages and the console see it. */
export function taskInfo(task: RegisteredTask): TaskInfo {
  return {
    task: task.task,
    kind: task.kind,
    labels: [...task.labels],
    ...(task.preprocess !== undefined && { preprocess: task.preprocess }),
    ...(task.postprocess !== undefined && { postprocess: task.postprocess }),
    defaults: task.defaults,
    variants: task.variants.map((variant) => ({ ...variant, tiers: tiersOf(variant) })),
  };
}
