/** What the batch rule needs to know of a waiting request. Times are on the worker's own monotonic clock. */
export interface Waiting {
  /** Variant and revision; only equal ones share a batch. */
  readonly replica: string;
  /** Inputs that it carries along the batch axis. */
  readonly size: number;
  readonly deadlineAt: number;
  /** Lower is served first among requests of the same urgency class; 0 is the default, 1 the highest (Triton's rule). */
  readonly priority: number;
}

export interface BatchRule {
  /** Largest batch, in inputs. */
  readonly maxBatch: number;
  /** Predicted milliseconds of a batch of this many inputs; undefined when it was never measured. */
  readonly serviceMs: (replica: string, size: number) => number | undefined;
}

/** What to run next and what to give up, as positions in the queue. */
export interface BatchPlan {
  readonly run: readonly number[];
  /** Requests that cannot be answered in time any more: refused before they cost anything. */
  readonly drop: readonly number[];
}

/**
 * Forms the next batch from what is waiting.
 *
 * The head is the most urgent request by priority, then deadline (earliest deadline first). Others of the same replica
 * join in that order as long as the batch stays within `maxBatch` and its predicted time still fits the head's slack.
 * Requests whose deadline has passed are dropped (early drop, as in Nexus and Clockwork).
 */
export function formBatch(queue: readonly Waiting[], now: number, rule: BatchRule): BatchPlan {
  const drop: number[] = [];
  const live: number[] = [];
  for (const [index, entry] of queue.entries()) (entry.deadlineAt <= now ? drop : live).push(index);
  const at = (index: number): Waiting => {
    const entry = queue[index];
    if (entry === undefined) throw new RangeError(`Expected ${index} to be a position in the queue`);
    return entry;
  };
  live.sort((a, b) => rank(at(a)) - rank(at(b)) || at(a).deadlineAt - at(b).deadlineAt || a - b);
  const [headIndex, ...rest] = live;
  if (headIndex === undefined) return { run: [], drop };

  const head = at(headIndex);
  const slackMs = head.deadlineAt - now;
  const run = [headIndex];
  let size = head.size;
  for (const index of rest) {
    const entry = at(index);
    if (entry.replica !== head.replica || size + entry.size > rule.maxBatch) continue;
    const predictedMs = rule.serviceMs(head.replica, size + entry.size);
    if (predictedMs !== undefined && predictedMs > slackMs) break;
    run.push(index);
    size += entry.size;
  }
  return { run, drop };
}

/** Priority 0 means "default", which ranks below every named priority. */
function rank(entry: Waiting): number {
  return entry.priority === 0 ? Number.MAX_SAFE_INTEGER : entry.priority;
}
