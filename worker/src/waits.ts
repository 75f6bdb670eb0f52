import { type Load, MAX_REPORTED_PRIORITIES } from '@nearfar/protocol';

/**
 * How long a request that comes now would wait: behind everything, and by priority, since it is taken before all that is less
 * urgent (`core/src/batch.ts`).
 *
 * @param takesMs what each entry will take.
 * @param runningMs until what runs has ended.
 */
export function waitsByPriority<Entry extends { readonly priority: number }>(
  queue: readonly Entry[],
  takesMs: (entry: Entry) => number,
  runningMs: number,
): Pick<Load, 'backlogMs' | 'runningMs' | 'ahead'> {
  const named = new Map<number, number>();
  let backlogMs = runningMs;
  for (const entry of queue) {
    const entryMs = takesMs(entry);
    backlogMs += entryMs;
    if (entry.priority > 0) named.set(entry.priority, (named.get(entry.priority) ?? 0) + entryMs);
  }
  const ahead: { priority: number; backlogMs: number }[] = [];
  let untilMs = runningMs;
  for (const [priority, ofPriorityMs] of [...named].sort(([a], [b]) => a - b)) {
    untilMs += ofPriorityMs;
    const last = ahead.at(-1);
    if (ahead.length === MAX_REPORTED_PRIORITIES && last !== undefined) last.backlogMs = untilMs;
    else ahead.push({ priority, backlogMs: untilMs });
  }
  return { backlogMs, runningMs, ...(ahead.length > 0 && { ahead }) };
}
