interface Settled {
  /** What holds now. */
  count: number;
  /** Since when less is wanted, and the most of what was wanted since. */
  lower: { readonly since: number; most: number } | undefined;
}

/**
 * Keeps counts (replicas, workers) steady between plans: more is taken at once, since requests wait for it; less only when
 * every plan for as long as `dwellMs` wanted less, and then as much as the highest of them. INFaaS waits as long as a load
 * takes before it scales down (Romero et al., ATC 2021), for the same reason: a load that is undone and done again is paid
 * twice.
 */
export class Settler {
  readonly #settled = new Map<string, Settled>();

  /**
   * Takes in what a plan wants, by name (absent = 0), and gives what is to hold from `now` on; names with 0 are left out.
   *
   * @param dwellMs of a name, in milliseconds from 0.
   */
  settle(
    wanted: ReadonlyMap<string, number>,
    now: number,
    dwellMs: (name: string) => number,
  ): ReadonlyMap<string, number> {
    for (const [name, count] of wanted) {
      const known = this.#settled.get(name);
      if (known === undefined) {
        if (count > 0) this.#settled.set(name, { count, lower: undefined });
      } else if (count >= known.count) Object.assign(known, { count, lower: undefined });
    }
    for (const [name, known] of this.#settled) {
      const count = wanted.get(name) ?? 0;
      if (count >= known.count) continue;
      known.lower ??= { since: now, most: count };
      known.lower.most = Math.max(known.lower.most, count);
      if (now - known.lower.since < dwellMs(name)) continue;
      known.count = known.lower.most;
      known.lower = count < known.count ? { since: now, most: count } : undefined;
      if (known.count === 0) this.#settled.delete(name);
    }
    return new Map([...this.#settled].map(([name, { count }]) => [name, count]));
  }
}
