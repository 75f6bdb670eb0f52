/** What happens at a time: a binary heap in which events of the same time come out in the order in which they went in. */
export class EventQueue {
  readonly #times: number[] = [];
  readonly #sequences: number[] = [];
  readonly #actions: (() => void)[] = [];
  #sequence = 0;

  get size(): number {
    return this.#times.length;
  }

  /** Time of the next event; infinite when there is none. */
  get nextMs(): number {
    return this.#times[0] ?? Number.POSITIVE_INFINITY;
  }

  push(timeMs: number, action: () => void): void {
    const sequence = this.#sequence;
    this.#sequence += 1;
    let index = this.#times.length;
    this.#set(index, timeMs, sequence, action);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const parentMs = this.#times[parent] as number;
      // A later event never goes before an earlier one of the same time, so times alone decide on the way up.
      if (parentMs <= timeMs) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#set(index, timeMs, sequence, action);
  }

  /** Takes the next event out. Not to be called on an empty queue. */
  pop(): () => void {
    const [first] = this.#actions;
    const timeMs = this.#times.pop();
    const sequence = this.#sequences.pop();
    const action = this.#actions.pop();
    if (first === undefined || timeMs === undefined || sequence === undefined || action === undefined) {
      throw new RangeError('Expected an event');
    }
    const size = this.#times.length;
    if (size === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#isBefore(child + 1, child)) child += 1;
      const childMs = this.#times[child] as number;
      if (timeMs < childMs || (timeMs === childMs && sequence < (this.#sequences[child] as number))) break;
      this.#move(child, index);
      index = child;
    }
    this.#set(index, timeMs, sequence, action);
    return first;
  }

  #isBefore(a: number, b: number): boolean {
    const aMs = this.#times[a] as number;
    const bMs = this.#times[b] as number;
    return aMs < bMs || (aMs === bMs && (this.#sequences[a] as number) < (this.#sequences[b] as number));
  }

  #move(from: number, to: number): void {
    this.#set(
      to,
      this.#times[from] as number,
      this.#sequences[from] as number,
      this.#actions[from] as () => void,
    );
  }

  #set(index: number, timeMs: number, sequence: number, action: () => void): void {
    this.#times[index] = timeMs;
    this.#sequences[index] = sequence;
    this.#actions[index] = action;
  }
}
