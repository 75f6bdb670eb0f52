/*
 * Proteus's proactive, non-work-conserving batching (ASPLOS'24, section 5; UMass-LIDS/Proteus, core/predictor.py,
 * `accscale`): an idle device waits for a larger batch for as long as its first request can afford it.
 */

/** What a device does with its queue. Times are in the caller's milliseconds. */
export type BatchStep =
  | { readonly kind: 'run'; readonly drop: number; readonly size: number }
  | { readonly kind: 'wait'; readonly drop: number; readonly untilMs: number };

/**
 * What to do with a queue, given when each request has to be done by, the earliest first.
 *
 * From the front, requests that would be late if the queue, up to `maxBatch`, ran now are dropped. A full batch runs at
 * once. Else the device waits until the first request's deadline minus the time of the batch; if that moment has passed for
 * the queue but not for the queue without its last request, the queue runs without that one.
 *
 * An empty queue, also one emptied by drops, waits for ever.
 */
export function proactiveBatch(
  doneByMs: readonly number[],
  nowMs: number,
  maxBatch: number,
  serviceMs: (batch: number) => number,
): BatchStep {
  let drop = 0;
  for (;;) {
    const waiting = doneByMs.length - drop;
    const first = doneByMs[drop];
    if (first === undefined) return { kind: 'wait', drop, untilMs: Number.POSITIVE_INFINITY };
    const size = Math.min(waiting, maxBatch);
    if (waiting >= maxBatch && nowMs + serviceMs(size) <= first) return { kind: 'run', drop, size };
    const startMs = first - serviceMs(size);
    if (nowMs < startMs) return { kind: 'wait', drop, untilMs: startMs };
    if (nowMs === startMs) return { kind: 'run', drop, size };
    if (size > 1 && nowMs + serviceMs(size - 1) <= first) return { kind: 'run', drop, size: size - 1 };
    drop += 1;
  }
}
