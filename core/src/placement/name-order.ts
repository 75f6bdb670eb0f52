/**
 * Gives names numbers in the order of the names, so that many comparisons of the same few names are of numbers. A name that
 * comes between two others gets a number between theirs; once there is none left, all are numbered anew.
 */
export class NameOrder {
  readonly #names: string[] = [];
  readonly #ranks: number[] = [];
  readonly #onRenumbered: (name: string, rank: number) => void;

  /** @param onRenumbered called for each name that gets another number, the order unchanged. */
  constructor(onRenumbered: (name: string, rank: number) => void) {
    this.#onRenumbered = onRenumbered;
  }

  /** The number of a name, which is added where it is not known. */
  add(name: string): number {
    const at = this.#find(name);
    const known = this.#names[at] === name ? this.#ranks[at] : undefined;
    if (known !== undefined) return known;
    const before = this.#ranks[at - 1];
    const after = this.#ranks[at];
    const rank =
      before === undefined ? (after ?? 1) - 1 : after === undefined ? before + 1 : (before + after) / 2;
    this.#names.splice(at, 0, name);
    this.#ranks.splice(at, 0, rank);
    if (rank !== before && rank !== after) return rank;
    for (const [index, other] of this.#names.entries()) {
      this.#ranks[index] = index;
      if (other !== name) this.#onRenumbered(other, index);
    }
    return at;
  }

  remove(name: string): void {
    const at = this.#find(name);
    if (this.#names[at] !== name) return;
    this.#names.splice(at, 1);
    this.#ranks.splice(at, 1);
  }

  /** The position of a name, or the one where it would be. */
  #find(name: string): number {
    let low = 0;
    let high = this.#names.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#names[middle] ?? '') < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
