import type { ProfileBook, RegisteredTask, TaskRecord } from '@nearfar/core';
import { MeshError, type Rollout, type VariantSpec } from '@nearfar/protocol';
import { type Catalog, revisionsOf } from '../catalog.ts';
import type { FleetWorker } from '../fleet-worker.ts';
import type { Log } from '../options.ts';
import { type HighestNumbers, highestOf, NO_NUMBERS, remembering, renumbered } from './numbers.ts';
import { isSameInterface } from './same-interface.ts';
import { isSameJson } from './same-json.ts';
import { positionOf } from './share.ts';
import type { Usage } from './usage.ts';
import { isUnattended, isWarm } from './warm.ts';

/** How a revision comes that is not asked to come otherwise. */
export const AT_ONCE: Rollout = { mode: 'now', share: 1 };

/** What rollouts need from their coordinator. */
export interface RolloutParts {
  readonly catalog: Catalog;
  readonly usage: Usage;
  readonly book: ProfileBook;
  readonly workers: () => readonly FleetWorker[];
  /** Brings every worker to hold `variants()`. */
  readonly assignAll: () => void;
  /** Called with revisions that may not be kept any more; see `Rollouts.kept`. */
  readonly onForgotten: (gone: readonly RegisteredTask[]) => void;
  readonly background: (what: string, work: Promise<unknown>) => void;
  readonly log: Log;
}

/**
 * The revisions of every task: which one answers, and how traffic moves to the next.
 *
 * Workers hold the variants of a task's active and next revision, and those of a former one until its last request has
 * ended. Changes of one task come one after another; each is in the registry before it takes effect.
 */
export class Rollouts {
  readonly #parts: RolloutParts;
  /** Tasks whose next revision could answer, and whether it takes and gives the same tensors as the active one. */
  readonly #warm = new Map<string, { readonly isSameInterface: boolean }>();
  readonly #draining = new Set<RegisteredTask>();
  /** Numbers of deleted tasks, which workers and pages may still have in mind. */
  readonly #deleted = new Map<string, HighestNumbers>();
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(parts: RolloutParts) {
    this.#parts = parts;
  }

  /** Every variant that workers should hold. */
  variants(): readonly VariantSpec[] {
    const held = this.#parts.catalog
      .records()
      .flatMap(({ active, next }) => [active, ...(next === undefined ? [] : [next.task])]);
    return [...held, ...this.#draining].flatMap(({ variants }) => variants);
  }

  /** Every revision that a record names, and those that requests still use. */
  kept(): readonly RegisteredTask[] {
    return [...this.#parts.catalog.records().flatMap(revisionsOf), ...this.#draining];
  }

  /**
   * The revision that answers the request with this id. Whoever brings tensors made them for the active one and will read
   * the answer as that one's, so a canary with another interface answers pictures alone.
   */
  revisionFor({ active, next }: TaskRecord, id: string, brings: 'tensors' | 'picture'): RegisteredTask {
    const warm = this.#warm.get(active.task);
    if (next?.rollout.mode !== 'canary' || warm === undefined) return active;
    const isSuited = brings === 'picture' || warm.isSameInterface;
    return isSuited && positionOf(id) < next.rollout.share ? next.task : active;
  }

  /** The revisions that may answer now. */
  served({ active, next }: TaskRecord): readonly RegisteredTask[] {
    const isServing = next?.rollout.mode === 'canary' && this.#warm.has(active.task);
    return isServing ? [active, next.task] : [active];
  }

  /** The revision that runs the request with this id as well, for comparison, and whether it takes the same tensors. */
  shadowFor(
    task: string,
    id: string,
  ): { readonly next: RegisteredTask; readonly isSameInterface: boolean } | undefined {
    const next = this.#parts.catalog.record(task)?.next;
    const warm = this.#warm.get(task);
    if (next?.rollout.mode !== 'shadow' || warm === undefined) return undefined;
    return positionOf(id) < next.rollout.share ? { next: next.task, ...warm } : undefined;
  }

  /** Whether the task's next revision could answer. */
  isWarm(task: string): boolean {
    return this.#warm.has(task);
  }

  /**
   * Registers a revision. The first of a task serves at once; one that changes nothing is passed over; one that is on its
   * way already only changes how it comes; any other becomes the next one, in the place of one that was on its way.
   *
   * Its own number, and those of variants whose files are new, are raised where they were given before.
   *
   * @returns the task's record as it is now.
   */
  register(task: RegisteredTask, rollout?: Rollout): Promise<TaskRecord> {
    return this.#inTurn(task.task, async () => {
      const { catalog, log } = this.#parts;
      const record = catalog.record(task.task);
      if (record === undefined) {
        await this.#put({ active: renumbered(task, [], this.#highest(task.task)) });
        log('info', 'task registered', { task: task.task, variants: task.variants.length });
        return catalog.known(task.task);
      }
      const { active, next, previous } = record;
      const renewed = renumbered(task, revisionsOf(record), this.#highest(task.task));
      if (isSame(active, renewed)) return record;
      const known = next !== undefined && isSame(next.task, renewed) ? next : undefined;
      if (known !== undefined && (rollout === undefined || isSameJson(known.rollout, rollout))) return record;
      const coming = { task: known?.task ?? renewed, rollout: rollout ?? AT_ONCE };
      await this.#put({ active, next: coming, ...(previous !== undefined && { previous }) });
      const { revision } = coming.task;
      log('info', 'revision registered', { task: task.task, revision, mode: coming.rollout.mode });
      await this.#promoteIfDue(task.task);
      return catalog.known(task.task);
    });
  }

  /**
   * Lets the next revision answer everything, as soon as it is warm.
   *
   * @throws MeshError `MESH_UNKNOWN_TASK`, `MESH_BAD_REQUEST` when there is no next revision.
   */
  promote(name: string): Promise<TaskRecord> {
    return this.#inTurn(name, async () => {
      const { catalog } = this.#parts;
      const { active, next, previous } = catalog.known(name);
      if (next === undefined) {
        throw new MeshError('MESH_BAD_REQUEST', `Task "${name}" has no newer revision to promote`);
      }
      await this.#put({
        active,
        next: { task: next.task, rollout: AT_ONCE },
        ...(previous !== undefined && { previous }),
      });
      await this.#promoteIfDue(name);
      return catalog.known(name);
    });
  }

  /**
   * Drops the next revision; where there is none, brings the previous one back, as soon as it is warm.
   *
   * @throws MeshError `MESH_UNKNOWN_TASK`, `MESH_NO_PREVIOUS_REVISION`.
   */
  rollback(name: string): Promise<TaskRecord> {
    return this.#inTurn(name, async () => {
      const { catalog, log } = this.#parts;
      const { active, next, previous } = catalog.known(name);
      const kept = previous !== undefined && { previous };
      if (next !== undefined) {
        await this.#put({ active, ...kept });
        log('info', 'revision dropped', { task: name, revision: next.task.revision });
      } else if (previous !== undefined) {
        await this.#put({ active, next: { task: previous, rollout: AT_ONCE }, previous });
        await this.#promoteIfDue(name);
      } else {
        throw new MeshError('MESH_NO_PREVIOUS_REVISION', `Task "${name}" has no revision to go back to`);
      }
      return catalog.known(name);
    });
  }

  /** Forgets a task; `check` may still refuse it by throwing. @throws MeshError `MESH_UNKNOWN_TASK`. */
  remove(name: string, check: () => void): Promise<void> {
    return this.#inTurn(name, async () => {
      const { catalog, usage, assignAll, onForgotten, log } = this.#parts;
      const record = catalog.known(name);
      check();
      await catalog.delete(name);
      this.#deleted.set(name, highestOf(record));
      this.#warm.delete(name);
      usage.forget(name);
      const draining = [...this.#draining].filter((former) => former.task === name);
      for (const former of draining) this.#draining.delete(former);
      assignAll();
      onForgotten([...revisionsOf(record), ...draining]);
      log('info', 'task deleted', { task: name });
    });
  }

  /** Looks again at which revisions are warm; to be called when workers said something new. */
  refresh(): void {
    const { catalog, workers, book, background } = this.#parts;
    for (const { active, next } of catalog.records()) {
      const name = active.task;
      if (next === undefined || !isWarm(next.task, workers(), book)) {
        this.#warm.delete(name);
        continue;
      }
      if (!this.#warm.has(name)) {
        this.#warm.set(name, { isSameInterface: isSameInterface(active, next.task) });
      }
      if (next.rollout.mode !== 'now' || this.#turns.has(name)) continue;
      background(
        `promote "${name}"`,
        this.#inTurn(name, () => this.#promoteIfDue(name)),
      );
    }
  }

  /** Lets go of a former revision when its last request has ended. */
  drained(task: RegisteredTask): void {
    const { usage, assignAll, onForgotten } = this.#parts;
    if (usage.inFlight(task.task, task.revision) > 0) return;
    const over = [...this.#draining].filter(
      (former) => former.task === task.task && former.revision === task.revision,
    );
    if (over.length === 0) return;
    for (const former of over) this.#draining.delete(former);
    assignAll();
    onForgotten(over);
  }

  async #promoteIfDue(name: string): Promise<void> {
    const { catalog, workers, book } = this.#parts;
    const record = catalog.record(name);
    if (record?.next?.rollout.mode !== 'now') return;
    const { active, next } = record;
    if (isWarm(next.task, workers(), book) || isUnattended([active, next.task], workers())) {
      await this.#promote(name);
    }
  }

  async #promote(name: string): Promise<void> {
    const { catalog, log } = this.#parts;
    const { active, next } = catalog.known(name);
    if (next === undefined) return;
    await this.#put({ active: next.task, previous: active });
    log('info', 'revision promoted', { task: name, revision: next.task.revision, previous: active.revision });
  }

  /** Keeps a record. Revisions that no longer answer stay in the workers while requests of theirs are under way. */
  async #put(record: TaskRecord): Promise<void> {
    const { catalog, usage, assignAll, onForgotten } = this.#parts;
    const name = record.active.task;
    const former = catalog.record(name);
    await catalog.put(remembering(record, this.#highest(name)));
    this.#deleted.delete(name);
    const answering = [record.active, record.next?.task];
    for (const task of former === undefined
      ? []
      : [former.active, ...(former.next ? [former.next.task] : [])]) {
      const isOver = !answering.some((entry) => entry?.revision === task.revision);
      if (isOver && usage.inFlight(name, task.revision) > 0) this.#draining.add(task);
    }
    if (record.next === undefined || record.next.task.revision !== former?.next?.task.revision) {
      this.#warm.delete(name);
    }
    assignAll();
    const kept = revisionsOf(record);
    const gone = former === undefined ? [] : revisionsOf(former);
    onForgotten(gone.filter((task) => !kept.some((entry) => entry.revision === task.revision)));
    this.refresh();
  }

  #highest(task: string): HighestNumbers {
    const record = this.#parts.catalog.record(task);
    return record === undefined ? (this.#deleted.get(task) ?? NO_NUMBERS) : highestOf(record);
  }

  /** Runs changes of one task one after another. */
  #inTurn<Value>(task: string, change: () => Promise<Value>): Promise<Value> {
    const turn = (this.#turns.get(task) ?? Promise.resolve()).then(change, change);
    this.#turns.set(task, turn);
    const forget = () => {
      if (this.#turns.get(task) === turn) this.#turns.delete(task);
    };
    turn.then(forget, forget);
    return turn;
  }
}

function isSame(known: RegisteredTask, task: RegisteredTask): boolean {
  return known.source === task.source && isSameJson(known.variants, task.variants);
}
