/** A worker as the holder sees it. Variants are named by a key that is unique in the mesh. */
export interface Holder {
  readonly id: string;
  readonly tier: 'edge' | 'pool';
  readonly workerClass: string;
  readonly canRun: (key: string) => boolean;
  /** Variants that it was told to hold. */
  readonly assigned: ReadonlySet<string>;
  /** Those of them that answer requests now. */
  readonly ready: ReadonlySet<string>;
  /** Variants that it is to keep whatever the plan says: asked for not long ago, or not yet measured there. */
  readonly needed: ReadonlySet<string>;
}

/** What is to be held. */
export interface Holding {
  readonly workers: readonly Holder[];
  /** Variants whose places the plan decides. */
  readonly keys: readonly string[];
  /** Replicas of a key that the plan wants on a class, settled; 0 = none. */
  readonly wanted: (workerClass: string, key: string) => number;
  /** For each kind of demand that was seen: whether a worker serves it with a variant. */
  readonly demands: readonly ((worker: Holder, key: string) => boolean)[];
}

/**
 * Which of the keys each worker is to hold, so that nothing that could be answered is refused: what a plan wants is loaded
 * first, and something is unloaded only while
 * - nobody has asked for it there lately, and it was measured there,
 * - the same variant stays ready on another worker, of the pool where it is in the pool, so that no demand that was never
 *   seen before finds it nowhere and a burst at the edge has somewhere to go, and
 * - every demand that was seen and that it serves is served by something else that is ready and stays.
 */
export function holdings({
  workers,
  keys,
  wanted,
  demands,
}: Holding): ReadonlyMap<string, ReadonlySet<string>> {
  const held = new Map(
    workers.map((worker) => [worker.id, new Set(keys.filter((key) => worker.assigned.has(key)))]),
  );
  const chosen = choose(workers, keys, wanted, held);
  for (const key of keys) {
    // One that is nowhere is loaded everywhere it can be; the plan narrows that down when it has been seen to work.
    const isSomewhere = workers.some((worker) => held.get(worker.id)?.has(key) === true);
    if (isSomewhere) continue;
    for (const worker of workers) if (worker.canRun(key)) held.get(worker.id)?.add(key);
  }
  // What is ready and stays: replicas of each key anywhere and in the pool, and those that serve each demand.
  const anywhere = new Map<string, number>();
  const inPool = new Map<string, number>();
  const serving = demands.map(() => 0);
  const count = (worker: Holder, key: string, by: 1 | -1) => {
    if (!worker.ready.has(key)) return;
    anywhere.set(key, (anywhere.get(key) ?? 0) + by);
    if (worker.tier === 'pool') inPool.set(key, (inPool.get(key) ?? 0) + by);
    for (const [index, serves] of demands.entries()) {
      if (serves(worker, key)) serving[index] = (serving[index] ?? 0) + by;
    }
  };
  for (const worker of workers) for (const key of held.get(worker.id) ?? []) count(worker, key, 1);
  for (const worker of workers) {
    for (const key of keys) {
      const isSpare =
        worker.assigned.has(key) && !worker.needed.has(key) && !chosen.has(`${worker.id} ${key}`);
      if (!isSpare) continue;
      count(worker, key, -1);
      const isElsewhere = ((worker.tier === 'pool' ? inPool : anywhere).get(key) ?? 0) > 0;
      const isMissed =
        worker.ready.has(key) && demands.some((serves, index) => serving[index] === 0 && serves(worker, key));
      if (isElsewhere && !isMissed) held.get(worker.id)?.delete(key);
      else count(worker, key, 1);
    }
  }
  return held;
}

/** Picks for each key and class as many workers as are wanted: those that have it ready, then assigned, then the emptiest. */
function choose(
  workers: readonly Holder[],
  keys: readonly string[],
  wanted: Holding['wanted'],
  held: ReadonlyMap<string, Set<string>>,
): ReadonlySet<string> {
  const chosen = new Set<string>();
  const classes = new Set(workers.map(({ workerClass }) => workerClass));
  for (const workerClass of classes) {
    const members = workers.filter((worker) => worker.workerClass === workerClass);
    for (const key of keys) {
      const count = wanted(workerClass, key);
      if (count === 0) continue;
      const rank = (worker: Holder) => (worker.ready.has(key) ? 2 : worker.assigned.has(key) ? 1 : 0);
      const order = members
        .filter((worker) => worker.canRun(key))
        .sort(
          (a, b) =>
            rank(b) - rank(a) ||
            (held.get(a.id)?.size ?? 0) - (held.get(b.id)?.size ?? 0) ||
            (a.id < b.id ? -1 : 1),
        );
      for (const worker of order.slice(0, count)) {
        held.get(worker.id)?.add(key);
        chosen.add(`${worker.id} ${key}`);
      }
    }
  }
  return chosen;
}
