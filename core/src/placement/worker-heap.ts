/**
 * What heaps share about what they hold: numbers by slot. An entry is a slot, a small whole number, and in one heap at a time.
 */
export interface Slots {
  /** Position of each slot in the heap that holds it; the heap's own. */
  readonly positions: number[];
  /** Orders entries with equal keys; no two have the same. */
  readonly ranks: number[];
}

/**
 * A binary heap by key, then rank, that knows where each of its entries is, so that one that changed is moved in O(log n)
 * instead of being searched for. It is made of numbers alone: moving objects around costs more while garbage is collected.
 */
export class WorkerHeap {
  readonly #positions: number[];
  readonly #ranks: number[];
  readonly #slots: number[] = [];
  readonly #keys: number[] = [];
  /** The arrays never shrink, so that a heap which breathes does not move its memory. */
  #size = 0;

  constructor({ positions, ranks }: Slots) {
    this.#positions = positions;
    this.#ranks = ranks;
  }

  get size(): number {
    return this.#size;
  }

  /** The first by the order; -1 when it is empty. */
  get first(): number {
    return this.#size === 0 ? -1 : (this.#slots[0] ?? -1);
  }

  /** The key of the first; infinite when it is empty. */
  get firstKey(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : (this.#keys[0] ?? 0);
  }

  /** The slot at a position from 0 to below `size`, in no particular order. */
  at(position: number): number {
    return this.#slots[position] ?? -1;
  }

  /** In order; only as far as they are asked for. The heap must not change meanwhile. */
  *inOrder(): Generator<number> {
    const open = new WorkerHeap({ positions: [], ranks: this.#ranks });
    const push = (position: number) => {
      if (position < this.#size) open.add(this.#slots[position] ?? 0, this.#keys[position] ?? 0);
    };
    push(0);
    while (open.size > 0) {
      const slot = open.first;
      yield slot;
      open.remove(slot);
      const position = this.#positions[slot] ?? 0;
      push(2 * position + 1);
      push(2 * position + 2);
    }
  }

  add(slot: number, key: number): void {
    this.#size += 1;
    this.#rise(this.#size - 1, slot, key);
  }

  /** Gives an entry of the heap another key. */
  move(slot: number, key: number): void {
    this.#place(this.#positions[slot] ?? 0, slot, key);
  }

  /** Gives an entry of the heap another key that changes no order; orders are right again once all of them have theirs. */
  rename(slot: number, key: number): void {
    this.#keys[this.#positions[slot] ?? 0] = key;
  }

  remove(slot: number): void {
    this.#size -= 1;
    const last = this.#slots[this.#size] ?? 0;
    if (last !== slot) this.#place(this.#positions[slot] ?? 0, last, this.#keys[this.#size] ?? 0);
  }

  #place(position: number, slot: number, key: number): void {
    if (this.#rise(position, slot, key) === position) this.#sink(position, slot, key);
  }

  /** Puts an entry where a hole is, or above it; gives the position that it comes to. */
  #rise(hole: number, slot: number, key: number): number {
    const slots = this.#slots;
    const keys = this.#keys;
    let position = hole;
    while (position > 0) {
      const above = (position - 1) >> 1;
      const parent = slots[above] ?? 0;
      const parentKey = keys[above] ?? 0;
      if (!this.#isBefore(key, slot, parentKey, parent)) break;
      this.#set(position, parent, parentKey);
      position = above;
    }
    this.#set(position, slot, key);
    return position;
  }

  #sink(hole: number, slot: number, key: number): void {
    const slots = this.#slots;
    const keys = this.#keys;
    const size = this.#size;
    let position = hole;
    for (;;) {
      let below = 2 * position + 1;
      if (below >= size) break;
      let child = slots[below] ?? 0;
      let childKey = keys[below] ?? 0;
      if (below + 1 < size) {
        const right = slots[below + 1] ?? 0;
        const rightKey = keys[below + 1] ?? 0;
        if (this.#isBefore(rightKey, right, childKey, child)) {
          child = right;
          childKey = rightKey;
          below += 1;
        }
      }
      if (!this.#isBefore(childKey, child, key, slot)) break;
      this.#set(position, child, childKey);
      position = below;
    }
    this.#set(position, slot, key);
  }

  #set(position: number, slot: number, key: number): void {
    this.#slots[position] = slot;
    this.#keys[position] = key;
    this.#positions[slot] = position;
  }

  #isBefore(aKey: number, a: number, bKey: number, b: number): boolean {
    return aKey < bKey || (aKey === bKey && (this.#ranks[a] ?? 0) < (this.#ranks[b] ?? 0));
  }
}
