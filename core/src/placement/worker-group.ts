import type { Moments } from '@nearfar/protocol';
import type { Shift } from '../calibration-shift.ts';
import { staleness } from '../load-view.ts';
import { type Slots, WorkerHeap } from './worker-heap.ts';

/** What all workers of a group have in common; the rest of their options is alike but for the wait. */
export interface Place {
  readonly tier: 'edge' | 'pool';
  readonly deviceClass: string;
  /** US dollars an hour of busy time. */
  readonly usdPerHour: number;
  /** Round trip between coordinator and worker. */
  readonly link: Moments;
  /** How much slower these workers are than others of their class; absent = not known to differ. */
  readonly speed?: Shift | undefined;
}

/** A worker in the index. */
export interface IndexEntry {
  readonly id: string;
  readonly group: WorkerGroup;
  /** Its own among those of the index. */
  readonly slot: number;
  /** When it will have done what it has, on the index's clock; in the past when it is idle. */
  freeAtMs: number;
  /** When that was last reported; minus infinity = never. */
  reportedAtMs: number;
  /** `out`: it takes no work now. */
  place: 'idle' | 'busy' | 'out';
}

/** Workers by slot, and the numbers by which heaps order them; a rank is that of a worker's id. */
export interface WorkerSlots extends Slots {
  readonly entries: (IndexEntry | undefined)[];
}

/** How often the oldest report of a group is looked for. */
const OLDEST_EVERY_MS = 1_000;

/**
 * Workers between which only their queues tell. Idle ones are ordered by id, busy ones by the time at which they will be
 * free: neither order changes as time passes, so that a worker moves only when something happens to it.
 */
export class WorkerGroup {
  readonly facts: Place;
  readonly #slots: WorkerSlots;
  /** By rank. */
  readonly #idle: WorkerHeap;
  /** By the time at which they will be free. */
  readonly #busy: WorkerHeap;
  readonly #members = new Set<IndexEntry>();
  /** No report of a busy worker is older. */
  #oldestMs = Number.POSITIVE_INFINITY;
  #oldestFoundMs = Number.NEGATIVE_INFINITY;

  constructor(facts: Place, slots: WorkerSlots) {
    this.facts = facts;
    this.#slots = slots;
    this.#idle = new WorkerHeap(slots);
    this.#busy = new WorkerHeap(slots);
  }

  /** Workers in the group, also those that take no work now. */
  get size(): number {
    return this.#members.size;
  }

  /** Adds a worker of which nothing is known yet: idle, and taking work. */
  add(id: string, slot: number): IndexEntry {
    const entry: IndexEntry = {
      id,
      group: this,
      slot,
      freeAtMs: Number.NEGATIVE_INFINITY,
      reportedAtMs: Number.NEGATIVE_INFINITY,
      place: 'idle',
    };
    this.#slots.entries[slot] = entry;
    this.#members.add(entry);
    this.#idle.add(slot, this.#rankOf(slot));
    return entry;
  }

  remove(entry: IndexEntry): void {
    this.#take(entry);
    this.#members.delete(entry);
  }

  /** To be called for each worker that got another rank in the same order, before anything else happens. */
  renamed({ place, slot }: IndexEntry): void {
    if (place === 'idle') this.#idle.rename(slot, this.#rankOf(slot));
  }

  /** Takes a worker out of the choice, or back into it. */
  setAvailable(entry: IndexEntry, isAvailable: boolean): void {
    if (isAvailable === (entry.place !== 'out')) return;
    this.#take(entry);
    if (isAvailable) this.#putBusy(entry);
  }

  /** Sets what is known of a worker's queue at `nowMs`. One that was idle and has nothing to do stays where it is. */
  setQueue(entry: IndexEntry, freeAtMs: number, reportedAtMs: number, nowMs: number): void {
    entry.freeAtMs = freeAtMs;
    entry.reportedAtMs = reportedAtMs;
    if (entry.place === 'busy') {
      this.#oldestMs = Math.min(this.#oldestMs, reportedAtMs);
      this.#busy.move(entry.slot, freeAtMs);
    } else if (entry.place === 'idle' && freeAtMs > nowMs) {
      this.#idle.remove(entry.slot);
      this.#putBusy(entry);
    }
  }

  /** The worker that is free first, of several idle ones the first by id. */
  first(nowMs: number): IndexEntry | undefined {
    this.settle(nowMs);
    const slot = this.#idle.size > 0 ? this.#idle.first : this.#busy.first;
    return this.#slots.entries[slot];
  }

  /**
   * All that take work in the order of `first`; the group must not change meanwhile.
   *
   * @param isIdleWanted whether idle ones are among them, which are all alike.
   */
  *inOrder(nowMs: number, isIdleWanted: boolean): Generator<IndexEntry> {
    this.settle(nowMs);
    for (const heap of isIdleWanted ? [this.#idle, this.#busy] : [this.#busy]) {
      for (const slot of heap.inOrder()) {
        const entry = this.#slots.entries[slot];
        if (entry !== undefined) yield entry;
      }
    }
  }

  /** Any worker of the group, for an explanation; one that takes work where there is one. */
  sample(nowMs: number): string | undefined {
    const [member] = this.#members;
    return (this.first(nowMs) ?? member)?.id;
  }

  /** By how much age widens the wait of a worker here at most; see `staleness`. */
  mostStaleness(nowMs: number): number {
    if (nowMs - this.#oldestFoundMs > OLDEST_EVERY_MS) {
      this.#oldestMs = Number.POSITIVE_INFINITY;
      for (let position = 0; position < this.#busy.size; position += 1) {
        const reportedAtMs = this.#slots.entries[this.#busy.at(position)]?.reportedAtMs ?? 0;
        if (reportedAtMs < this.#oldestMs) this.#oldestMs = reportedAtMs;
      }
      this.#oldestFoundMs = nowMs;
    }
    return staleness(nowMs - this.#oldestMs);
  }

  /** Moves those that are free by now to the idle ones: each once for each time that it was given work. */
  settle(nowMs: number): void {
    while (this.#busy.firstKey <= nowMs) {
      const slot = this.#busy.first;
      this.#busy.remove(slot);
      this.#idle.add(slot, this.#rankOf(slot));
      const entry = this.#slots.entries[slot];
      if (entry !== undefined) entry.place = 'idle';
    }
  }

  #take(entry: IndexEntry): void {
    if (entry.place === 'idle') this.#idle.remove(entry.slot);
    if (entry.place === 'busy') this.#busy.remove(entry.slot);
    entry.place = 'out';
  }

  #putBusy(entry: IndexEntry): void {
    entry.place = 'busy';
    this.#oldestMs = Math.min(this.#oldestMs, entry.reportedAtMs);
    this.#busy.add(entry.slot, entry.freeAtMs);
  }

  #rankOf(slot: number): number {
    return this.#slots.ranks[slot] ?? 0;
  }
}
