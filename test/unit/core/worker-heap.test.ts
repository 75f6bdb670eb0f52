import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NameOrder } from '../../../core/src/placement/name-order.ts';
import { WorkerHeap } from '../../../core/src/placement/worker-heap.ts';

describe('a heap of workers', () => {
  test('gives what it holds in order, whatever was added, moved and removed', () => {
    const step = fc.record({
      slot: fc.nat(15),
      key: fc.constantFrom(0, 1, 2, 3, 4),
      isRemoval: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.shuffledSubarray([...Array(16).keys()], { minLength: 16 }),
        (steps, ranks) => {
          const heap = new WorkerHeap({ positions: [], ranks });
          const held = new Map<number, number>();
          for (const { slot, key, isRemoval } of steps) {
            if (isRemoval) {
              if (held.delete(slot)) heap.remove(slot);
            } else if (held.has(slot)) {
              held.set(slot, key);
              heap.move(slot, key);
            } else {
              held.set(slot, key);
              heap.add(slot, key);
            }
            const order = [...held].sort(
              ([a, aKey], [b, bKey]) => aKey - bKey || (ranks[a] ?? 0) - (ranks[b] ?? 0),
            );
            const slots = order.map(([held]) => held);
            expect(heap.size).toBe(slots.length);
            expect(heap.first).toBe(slots[0] ?? -1);
            expect([...heap.inOrder()]).toEqual(slots);
          }
        },
      ),
    );
  });
});

describe('an order of names', () => {
  test('numbers them in their order, also when there is no number left between two', () => {
    const ranks = new Map<string, number>();
    const order = new NameOrder((name, rank) => ranks.set(name, rank));
    ranks.set('a', order.add('a'));
    ranks.set('b', order.add('b'));
    // Each comes right behind "a": a number is half as far away from it as the one before.
    for (let count = 200; count > 0; count -= 1) {
      const name = `a${'0'.repeat(count)}`;
      ranks.set(name, order.add(name));
    }
    for (const name of ['c', '', 'aa', 'B']) ranks.set(name, order.add(name));
    const byRank = [...ranks].sort(([, a], [, b]) => a - b).map(([name]) => name);
    expect(byRank).toEqual([...ranks.keys()].sort());
    expect(new Set(ranks.values()).size).toBe(ranks.size);
    expect(order.add('aa')).toBe(ranks.get('aa'));
    order.remove('aa');
    order.remove('not there');
    expect(order.add('ab')).toBeGreaterThan(ranks.get('a') ?? 0);
  });
});
