import { type LeasedPlace, LeaseLedger, wantedRequests } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const place = (over: Partial<LeasedPlace> = {}): LeasedPlace => ({
  worker: 'w',
  capacityMs: 1_000,
  requestMs: 10,
  ...over,
});
const until = (endsAt: number, wanted = 10, now = 0) => ({ wanted, now, endsAt });

type Step =
  | { readonly kind: 'grant'; readonly wanted: number; readonly places: readonly LeasedPlace[] }
  | { readonly kind: 'report'; readonly lease: number; readonly used: number }
  | { readonly kind: 'wait'; readonly ms: number };

const anyPlaces = fc.uniqueArray(
  fc.record({
    worker: fc.constantFrom('a', 'b', 'c'),
    capacityMs: fc.double({ min: -100, max: 2_000, noNaN: true }),
    requestMs: fc.double({ min: 0.1, max: 300, noNaN: true }),
  }),
  { selector: ({ worker }) => worker, maxLength: 3 },
);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('grant' as const), wanted: fc.nat(200), places: anyPlaces }),
  fc.record({
    kind: fc.constant('report' as const),
    lease: fc.nat(20),
    used: fc.oneof(fc.integer({ min: -5, max: 300 }), fc.constant(Number.NaN)),
  }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(20_000) }),
);

describe('leases', () => {
  test('hold no more of a worker than it can take on, and every request is accounted for', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
        const ledger = new LeaseLedger();
        let now = 0;
        let leases = 0;
        for (const step of steps) {
          if (step.kind === 'wait') now += step.ms;
          if (step.kind === 'report') ledger.report(`lease-${step.lease}`, step.used);
          if (step.kind === 'grant') {
            const held = new Map(step.places.map(({ worker }) => [worker, 0]));
            ledger.expire(now);
            for (const worker of held.keys()) held.set(worker, ledger.heldMs(worker));
            const granted = ledger.grant(
              `lease-${leases}`,
              step.places,
              until(now + 30_000, step.wanted, now),
            );
            leases += 1;
            expect(granted).toBeLessThanOrEqual(step.wanted);
            for (const { worker, capacityMs } of step.places) {
              // A worker that has lost capacity since keeps what it holds, and gets no more.
              const most = Math.max(capacityMs, held.get(worker) ?? 0);
              expect(ledger.heldMs(worker)).toBeLessThanOrEqual(most + 1e-6);
            }
          }
          const { granted, open, reported, returned, unknown } = ledger.counts;
          expect(open + reported + returned + unknown).toBe(granted);
        }
        ledger.expire(now + 30_000);
        expect(ledger.counts.open).toBe(0);
        for (const worker of ['a', 'b', 'c']) expect(ledger.heldMs(worker)).toBe(0);
      }),
    );
  });

  test('leave half of what is free to whoever asks next, down to the last request', () => {
    const ledger = new LeaseLedger();
    const grants = Array.from({ length: 9 }, (_, index) =>
      ledger.grant(`lease-${index}`, [place()], until(30_000, 100)),
    );
    expect(grants).toEqual([50, 25, 12, 6, 3, 2, 1, 1, 0]);
  });

  test('are spread over workers as far as each has room', () => {
    const ledger = new LeaseLedger();
    const places = [place({ worker: 'small', capacityMs: 20 }), place({ worker: 'large' })];
    expect(ledger.grant('one', places, until(30_000, 40))).toBe(40);
    expect([ledger.heldMs('small'), ledger.heldMs('large')]).toEqual([20, 380]);
  });

  test('of pages that say nothing are unknown once they have ended, and their room is free again', () => {
    const ledger = new LeaseLedger();
    ledger.grant('silent', [place()], until(30_000));
    ledger.expire(29_999);
    expect(ledger.counts).toMatchObject({ open: 10, unknown: 0 });
    ledger.expire(30_000);
    expect(ledger.counts).toEqual({ granted: 10, open: 0, reported: 0, returned: 0, unknown: 10 });
    expect(ledger.heldMs('w')).toBe(0);
    expect(ledger.report('silent', 10)).toBe(0);
  });

  test('count what was reported once, and not more than was granted', () => {
    const ledger = new LeaseLedger();
    ledger.grant('one', [place()], until(30_000));
    expect(ledger.report('one', 4)).toBe(4);
    expect(ledger.report('one', 4)).toBe(0);
    ledger.grant('two', [place()], until(30_000));
    expect(ledger.report('two', 1_000)).toBe(10);
    expect(ledger.counts).toEqual({ granted: 20, open: 0, reported: 14, returned: 6, unknown: 0 });
  });

  test('are none where nothing is free, nobody serves, or figures are no numbers', () => {
    const ledger = new LeaseLedger();
    expect(ledger.grant('a', [], until(30_000))).toBe(0);
    expect(ledger.grant('b', [place({ capacityMs: 9 })], until(30_000))).toBe(0);
    expect(ledger.grant('c', [place({ capacityMs: Number.NaN })], until(30_000))).toBe(0);
    expect(ledger.grant('d', [place()], until(30_000, 0))).toBe(0);
    expect(ledger.counts.granted).toBe(0);
  });

  test('without end do not fill the memory: further ones are granted none', () => {
    const ledger = new LeaseLedger();
    const wide = [place({ capacityMs: 1e12 })];
    let granted = 0;
    for (let index = 0; index < 10_010; index += 1) {
      granted += ledger.grant(`lease-${index}`, wide, until(30_000, 1));
    }
    expect(granted).toBe(10_000);
  });

  test('are wanted by what the page used before', () => {
    expect(wantedRequests(0)).toBe(16);
    expect(wantedRequests(100)).toBe(400);
  });
});
