import { type LeasedPlace, type LeaseGrant, LeaseLedger, wantedRequests } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const place = (over: Partial<LeasedPlace> = {}): LeasedPlace => ({
  worker: 'w',
  capacityMs: 1_000,
  requestMs: 10,
  ...over,
});
/** An application of a page of `subject`. */
const grantOf = (id: string, over: Partial<LeaseGrant> = {}): LeaseGrant => ({
  id,
  subject: 'visitors',
  wanted: 10,
  now: 0,
  endsAt: 30_000,
  ...over,
});

type Step =
  | {
      readonly kind: 'grant';
      readonly subject: string;
      readonly wanted: number;
      readonly places: readonly LeasedPlace[];
    }
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
  fc.record({
    kind: fc.constant('grant' as const),
    subject: fc.constantFrom('one', 'other'),
    wanted: fc.nat(200),
    places: anyPlaces,
  }),
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
            const { subject, wanted } = step;
            const grant = { id: `lease-${leases}`, subject, wanted, now, endsAt: now + 30_000 };
            const granted = ledger.grant(grant, step.places);
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

  test('of one subject hold half of what there is, and each leaves half of that to the next page', () => {
    const ledger = new LeaseLedger();
    const grants = Array.from({ length: 8 }, (_, index) =>
      ledger.grant(grantOf(`lease-${index}`, { wanted: 100 }), [place()]),
    );
    expect(grants).toEqual([25, 12, 6, 3, 2, 1, 1, 0]);
  });

  test('leave something to every other subject, whatever one has taken', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(100), { maxLength: 40 }),
        fc.integer({ min: 2, max: 500 }),
        (wanted, most) => {
          const ledger = new LeaseLedger();
          const places = [place({ capacityMs: most * 10 })];
          const taken = wanted.reduce(
            (sum, some, index) => sum + ledger.grant(grantOf(`lease-${index}`, { wanted: some }), places),
            0,
          );
          expect(taken).toBeLessThanOrEqual(Math.max(1, most / 2));
          const others = ledger.grant(grantOf('theirs', { subject: 'others', wanted: 1 }), places);
          expect(others).toBe(1);
        },
      ),
    );
  });

  test('are spread over workers as far as each has room', () => {
    const ledger = new LeaseLedger();
    const places = [
      place({ worker: 'small', capacityMs: 40 }),
      place({ worker: 'large', capacityMs: 2_000 }),
    ];
    expect(ledger.grant(grantOf('one', { wanted: 40 }), places)).toBe(40);
    expect([ledger.heldMs('small'), ledger.heldMs('large')]).toEqual([20, 380]);
  });

  test('of pages that say nothing are unknown once they have ended, and their room is free again', () => {
    const ledger = new LeaseLedger();
    ledger.grant(grantOf('silent'), [place()]);
    ledger.expire(29_999);
    expect(ledger.counts).toMatchObject({ open: 10, unknown: 0 });
    ledger.expire(30_000);
    expect(ledger.counts).toEqual({ granted: 10, open: 0, reported: 0, returned: 0, unknown: 10 });
    expect(ledger.heldMs('w')).toBe(0);
    expect(ledger.report('silent', 10)).toBeUndefined();
    expect(ledger.grant(grantOf('next', { now: 30_000, endsAt: 60_000, wanted: 25 }), [place()])).toBe(25);
  });

  test('count what was reported once, and not more than was granted', () => {
    const ledger = new LeaseLedger();
    ledger.grant(grantOf('one'), [place()]);
    expect(ledger.report('one', 4)).toEqual({ granted: 10, used: 4 });
    expect(ledger.report('one', 4)).toBeUndefined();
    ledger.grant(grantOf('two'), [place()]);
    expect(ledger.report('two', 1_000)).toEqual({ granted: 10, used: 10 });
    expect(ledger.counts).toEqual({ granted: 20, open: 0, reported: 14, returned: 6, unknown: 0 });
  });

  test('are none where nothing is free, nobody serves, or figures are no numbers', () => {
    const ledger = new LeaseLedger();
    expect(ledger.grant(grantOf('a'), [])).toBe(0);
    expect(ledger.grant(grantOf('b'), [place({ capacityMs: 9 })])).toBe(0);
    expect(ledger.grant(grantOf('c'), [place({ capacityMs: Number.NaN })])).toBe(0);
    expect(ledger.grant(grantOf('d', { wanted: 0 }), [place()])).toBe(0);
    expect(ledger.counts.granted).toBe(0);
  });

  test('without end do not fill the memory, and half of what there may be is left to others', () => {
    const ledger = new LeaseLedger();
    const wide = [place({ capacityMs: 1e12 })];
    const take = (subject: string) => {
      let granted = 0;
      for (let index = 0; index < 10_010; index += 1) {
        granted += ledger.grant(grantOf(`${subject}-${index}`, { subject, wanted: 1 }), wide);
      }
      return granted;
    };
    expect(take('one')).toBe(5_000);
    expect(take('other')).toBe(2_500);
  });

  test('are wanted by what the page used before', () => {
    expect(wantedRequests(0)).toBe(16);
    expect(wantedRequests(100)).toBe(400);
  });
});
