import { EscalationBook, EscalationRate } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const PRIOR = { value: 0.3, sampleSize: 1_000 };
const CASCADE = { task: 'digits', variant: 'tiny..large.t90', revision: 1 };

describe('an escalation rate', () => {
  test('starts as it was measured and stays a share', () => {
    expect(new EscalationRate().mean(PRIOR)).toBe(0.3);
    fc.assert(
      fc.property(
        fc.array(fc.record({ escalated: fc.nat(20), more: fc.nat(20) }), { maxLength: 50 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (batches, value) => {
          const rate = new EscalationRate();
          for (const { escalated, more } of batches) rate.observe(escalated, escalated + more);
          expect(rate.mean({ value, sampleSize: 100 })).toBeGreaterThanOrEqual(0);
          expect(rate.mean({ value, sampleSize: 100 })).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  test('follows what callers bring, also after they have brought something else for long', () => {
    const rate = new EscalationRate();
    for (let input = 0; input < 10_000; input += 1) rate.observe(0, 1);
    expect(rate.mean(PRIOR)).toBeLessThan(0.03);
    for (let input = 0; input < 2_000; input += 1) rate.observe(1, 1);
    expect(rate.mean(PRIOR)).toBeGreaterThan(0.9);
    expect(rate.inputs).toBeLessThanOrEqual(501);
  });

  test('takes no more escalated inputs than there were', () => {
    expect(() => new EscalationRate().observe(2, 1)).toThrow('Expected from 0 to 1 escalated inputs, got 2');
    expect(() => new EscalationRate().observe(Number.NaN, 1)).toThrow(RangeError);
  });
});

describe('the escalation rates of callers', () => {
  const seen = (book: EscalationBook, caller: string, escalated: number, inputs: number) =>
    book.observe(CASCADE, caller, { escalated, inputs });

  test('a caller of whom nothing is known is like the others, and one that is known like itself', () => {
    const book = new EscalationBook();
    expect(book.rate(CASCADE, 'new', PRIOR)).toBe(0.3);
    for (let round = 0; round < 100; round += 1) {
      seen(book, 'hard', 9, 10);
      seen(book, 'easy', 0, 10);
    }
    expect(book.rate(CASCADE, 'hard', PRIOR)).toBeGreaterThan(0.8);
    expect(book.rate(CASCADE, 'easy', PRIOR)).toBeLessThan(0.1);
    expect(book.rate(CASCADE, 'new', PRIOR)).toBeCloseTo(0.45, 1);
    expect(book.rate({ ...CASCADE, revision: 2 }, 'hard', PRIOR)).toBe(0.3);
  });

  test('what a page says of itself moves its own caller alone', () => {
    const book = new EscalationBook();
    for (let round = 0; round < 100; round += 1) {
      book.observe(CASCADE, 'liar', { escalated: 10, inputs: 10, isReported: true });
    }
    expect(book.rate(CASCADE, 'liar', PRIOR)).toBeGreaterThan(0.9);
    expect(book.rate(CASCADE, 'other', PRIOR)).toBe(0.3);
  });

  test('callers without end do not fill the memory: the one that came longest ago is forgotten', () => {
    const book = new EscalationBook();
    for (let caller = 0; caller < 5_000; caller += 1) seen(book, `caller-${caller}`, 1, 1);
    const all = book.rate(CASCADE, 'new', PRIOR);
    expect(book.rate(CASCADE, 'caller-0', PRIOR)).toBe(all);
    expect(book.rate(CASCADE, 'caller-4999', PRIOR)).toBeGreaterThan(all);
  });
});
