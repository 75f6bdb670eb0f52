import { MAX_REPORTED_PRIORITIES } from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { waitsByPriority } from '../../../worker/src/waits.ts';

interface Entry {
  readonly priority: number;
  readonly ms: number;
}

const waits = (queue: readonly Entry[], runningMs: number) =>
  waitsByPriority(queue, ({ ms }) => ms, runningMs);

/** What the consumer of a report finds for a priority. */
const waitOf = ({ backlogMs, runningMs, ahead = [] }: ReturnType<typeof waits>, priority: number) =>
  priority === 0
    ? backlogMs
    : (ahead.findLast((entry) => entry.priority <= priority)?.backlogMs ?? runningMs);

describe('waits by priority', () => {
  test('of an empty queue are what runs', () => {
    expect(waits([], 12)).toEqual({ backlogMs: 12, runningMs: 12 });
  });

  test('are the work of what is as urgent or more, as long as the wire can tell priorities apart, and never less', () => {
    const entry = fc.record({
      priority: fc.integer({ min: 0, max: 255 }),
      ms: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 60 }),
        fc.nat(20),
        fc.integer({ min: 1, max: 255 }),
        (queue, runningMs, own) => {
          const found = waits(queue, runningMs);
          const sum = (entries: readonly Entry[]) => entries.reduce((total, { ms }) => total + ms, runningMs);
          const exact = sum(queue.filter(({ priority }) => priority > 0 && priority <= own));
          expect(found.ahead?.length ?? 0).toBeLessThanOrEqual(MAX_REPORTED_PRIORITIES);
          expect(waitOf(found, 0)).toBe(sum(queue));
          const kinds = new Set(queue.filter(({ priority }) => priority > 0).map(({ priority }) => priority));
          if (kinds.size <= MAX_REPORTED_PRIORITIES) expect(waitOf(found, own)).toBe(exact);
          expect(waitOf(found, own)).toBeGreaterThanOrEqual(exact);
        },
      ),
    );
  });
});
