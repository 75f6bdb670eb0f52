import { type Instance, mayServe } from './known-run.ts';
import { BatchShares } from './share.ts';

/** Sums of the same times in another order differ by rounding. */
const SLACK = 1e-9;

/** What a request needs of every class that has workers. */
export interface Needs {
  readonly remoteUsd: number;
  /** Batches that it may be part of, each at `lateMs` at least besides the one that ends it. */
  readonly mostBatches: number;
  /** Least cost on its caller's own device; Infinity = none. */
  readonly privateUsd: number;
  /** By class: least share of a batch that leaves it on time; Infinity = none. */
  readonly onTimeMs: Float64Array;
  /** By class: least share of any batch; at most 0. */
  readonly lateMs: Float64Array;
  /** The stretches of `capacityBound` that its time at the mesh touches. */
  first: number;
  last: number;
}

/** What each request needs; `uses` says by how many requests its download is shared at most. */
export function needsOf({ requests, classes }: Instance, uses: readonly number[]): Needs[] {
  const ways = classes.map(({ profiles, count }) =>
    (count === 0 ? [] : profiles).map((profile) => ({
      profile,
      batches: Array.from({ length: profile.maxBatch }, (_, index) => new BatchShares(profile, index + 1)),
    })),
  );
  return requests.map((request, index) => {
    const onTimeMs = new Float64Array(classes.length).fill(Number.POSITIVE_INFINITY);
    const lateMs = new Float64Array(classes.length);
    const budgetMs = request.dueMs - request.releaseMs + SLACK;
    for (const [position, own] of ways.entries()) {
      for (const { profile, batches } of own) {
        if (profile.task !== request.task) continue;
        const mayAnswer = mayServe(profile, request);
        for (const batch of batches) {
          const ms = batch.ofMember(request.score);
          lateMs[position] = Math.min(lateMs[position] ?? 0, ms);
          if (!mayAnswer || batch.leastMs > budgetMs) continue;
          onTimeMs[position] = Math.min(onTimeMs[position] ?? ms, ms);
        }
      }
    }
    let privateUsd = Number.POSITIVE_INFINITY;
    for (const way of request.privateWays) {
      if (way.timeMs > request.deadlineMs - request.arrivalMs + SLACK) continue;
      privateUsd = Math.min(privateUsd, way.energyUsd + way.downloadUsd / (uses[index] ?? 1));
    }
    const { remoteUsd, mostBatches = 1 } = request;
    return { remoteUsd, mostBatches, privateUsd, onTimeMs, lateMs, first: 0, last: 0 };
  });
}
