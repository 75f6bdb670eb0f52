/** What runs next of the requests for one variant, and what is given up: counts from the front of their queue. */
export interface EarlyDrop {
  readonly drop: number;
  readonly run: number;
}

/**
 * Early drop as in Nexus (Shen et al., SOSP'19, section 6.3): the queue is served in batches that are as large as the backlog
 * allows, and requests at its front that have no time left for such a batch are given up, since serving them in small
 * batches would make everybody behind them late.
 *
 * `doneByMs`: when each has to be done, the earliest first. With less than a full batch waiting only what cannot be done at
 * all is given up, and the batch is as large as the first of the rest can afford.
 */
export function earlyDrop(
  doneByMs: readonly number[],
  nowMs: number,
  maxBatch: number,
  serviceMs: (batch: number) => number,
): EarlyDrop {
  const isBehind = doneByMs.length > maxBatch;
  const needMs = serviceMs(isBehind ? maxBatch : 1);
  let drop = 0;
  while (drop < doneByMs.length && nowMs + needMs > (doneByMs[drop] ?? 0)) drop += 1;
  // The drops may have left less than a full batch, or nothing: then it is as without a backlog.
  if (isBehind && doneByMs.length - drop < maxBatch) {
    return earlyDrop(doneByMs.slice(0, maxBatch), nowMs, maxBatch, serviceMs);
  }
  const first = doneByMs[drop];
  if (first === undefined) return { drop, run: 0 };
  let run = Math.min(maxBatch, doneByMs.length - drop);
  while (run > 1 && nowMs + serviceMs(run) > first) run -= 1;
  return { drop, run };
}
