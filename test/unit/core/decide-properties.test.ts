import { type Choice, decide, type Option, onTimeProbability, totalLatency } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { option, parts, spec, time } from './builders.ts';

/** Few values of each, so that ties and every kind of obstacle are frequent. */
const anyOption: fc.Arbitrary<Option> = fc
  .record({
    variant: fc.constantFrom('tiny', 'small', 'large'),
    tier: fc.constantFrom('browser' as const, 'edge' as const, 'pool' as const),
    deviceClass: fc.constantFrom('cpu:one', 'cpu:other'),
    worker: fc.constantFrom('a', 'b', 'c'),
    accuracy: fc.constantFrom(0.8, 0.9, 0.95),
    costPicoUsd: fc.nat(5),
    pricePicoUsd: fc.nat(3),
    worstCostPicoUsd: fc.constantFrom(5, 10, 20),
    isBlocked: fc.constantFrom(true, false, false, false),
    meanMs: fc.integer({ min: 1, max: 200 }),
    deviationMs: fc.nat(50),
  })
  .map(({ isBlocked, meanMs, deviationMs, ...rest }) =>
    option({
      ...rest,
      parts: parts({ compute: time(meanMs, deviationMs) }),
      blockers: isBlocked ? [{ code: 'queue-full', message: 'full' }] : [],
    }),
  );

const nameOf = ({ variant, tier, worker }: Option) => `${variant} ${tier} ${worker}`;
const anyOptions = fc.uniqueArray(anyOption, { maxLength: 12, selector: nameOf });
const RUNS = { numRuns: 400 };

const anySpec = fc
  .record(
    {
      slo_ms: fc.integer({ min: 1, max: 250 }),
      slo_target: fc.constantFrom(0.5, 0.9, 0.99),
      min_accuracy: fc.constantFrom(0.85, 0.92, 0.99),
      degrade_to: fc.constantFrom(0.7, 0.85),
      max_cost_usd: fc.constantFrom(7e-12, 15e-12),
      privacy: fc.constantFrom('any' as const, 'no_pool' as const, 'local_only' as const),
      prefer: fc.constantFrom('cost' as const, 'accuracy' as const),
      on_infeasible: fc.constantFrom('best_effort' as const, 'reject' as const),
    },
    { requiredKeys: ['slo_ms'] },
  )
  .map((parameters) => spec(parameters));
type Spec = ReturnType<typeof spec>;

function chosen(choice: Choice): Option | undefined {
  return choice.kind === 'refused' ? undefined : choice.chosen.option;
}

/** What a request demands besides time and accuracy. */
function isAllowed({ privacy, maxCostPicoUsd }: Spec, { tier, blockers, worstCostPicoUsd }: Option): boolean {
  const tiers = { any: ['browser', 'edge', 'pool'], no_pool: ['browser', 'edge'], local_only: ['browser'] };
  const isAffordable = maxCostPicoUsd === undefined || worstCostPicoUsd <= maxCostPicoUsd;
  return blockers.length === 0 && tiers[privacy].includes(tier) && isAffordable;
}

function isOnTime({ sloMs, sloTarget }: Spec, entry: Option): boolean {
  return onTimeProbability(totalLatency(entry.parts), sloMs) >= sloTarget;
}

/** What would always be taken instead of it: as dear at most, as accurate at least, and faster. */
function worsened(better: Option, { slower, dearer, lessAccurate, worker }: Worsening): Option {
  const { meanMs, varianceMs2 } = better.parts.compute;
  return {
    ...better,
    worker,
    costPicoUsd: better.costPicoUsd + dearer,
    worstCostPicoUsd: better.worstCostPicoUsd + dearer,
    accuracy: better.accuracy - lessAccurate,
    parts: parts({ compute: { meanMs: meanMs * slower, varianceMs2: varianceMs2 * slower * slower } }),
  };
}

const anyWorsening = fc.record({
  slower: fc.double({ min: 1.001, max: 4, noNaN: true }),
  dearer: fc.nat(10),
  lessAccurate: fc.constantFrom(0, 0.01, 0.1),
  // Of names that come before and after those of the others.
  worker: fc.constantFrom('0', 'z'),
});
type Worsening = typeof anyWorsening extends fc.Arbitrary<infer Value> ? Value : never;

describe('a decision', () => {
  test('is never infeasible where something feasible exists, and otherwise breaks no more than the caller allows', () => {
    fc.assert(
      fc.property(anySpec, anyOptions, (request, options) => {
        const { choice } = decide(request, options);
        const feasible = options.filter(
          (entry) =>
            isAllowed(request, entry) && isOnTime(request, entry) && entry.accuracy >= request.minAccuracy,
        );
        const best = chosen(choice);
        if (feasible.length > 0) {
          expect(choice).toMatchObject({ kind: 'meets-slo', isDegraded: false });
          expect(feasible).toContain(best);
        } else if (best !== undefined) {
          expect(isAllowed(request, best)).toBe(true);
          if (choice.kind === 'best-effort') {
            expect(request.onInfeasible).toBe('best_effort');
            expect(best.accuracy).toBeGreaterThanOrEqual(request.minAccuracy);
          } else {
            expect(choice).toMatchObject({ kind: 'meets-slo', isDegraded: true });
            expect(isOnTime(request, best)).toBe(true);
            expect(best.accuracy).toBeGreaterThanOrEqual(request.degradeTo ?? 1);
          }
        }
      }),
      RUNS,
    );
  });

  test('does not depend on the order of the options', () => {
    fc.assert(
      fc.property(anySpec, anyOptions, fc.infiniteStream(fc.nat()), (request, options, keys) => {
        const shuffled = options
          .map((value) => ({ value, key: keys.next().value ?? 0 }))
          .sort((a, b) => a.key - b.key)
          .map(({ value }) => value);
        const [one, other] = [decide(request, options).choice, decide(request, shuffled).choice];
        expect(other.kind).toBe(one.kind);
        expect(chosen(other)).toBe(chosen(one));
      }),
      RUNS,
    );
  });

  test('stays what it is when a worse option of the same variant is added', () => {
    fc.assert(
      fc.property(anySpec, anyOptions, fc.nat(), anyWorsening, (request, options, index, worsening) => {
        const better = options[index % Math.max(1, options.length)];
        fc.pre(better !== undefined);
        const worse = worsened(better, worsening);
        const [before, after] = [
          decide(request, options).choice,
          decide(request, [...options, worse]).choice,
        ];
        expect(after.kind).toBe(before.kind);
        expect(chosen(after)).toBe(chosen(before));
      }),
      RUNS,
    );
  });

  test('never turns to what has become dearer', () => {
    const isPriced = ({ tier, deviceClass }: Option) => tier === 'edge' && deviceClass === 'cpu:one';
    fc.assert(
      fc.property(anySpec, anyOptions, fc.integer({ min: 1, max: 20 }), (request, options, by) => {
        const raised = options.map((entry) =>
          isPriced(entry) ? { ...entry, pricePicoUsd: (entry.pricePicoUsd ?? 0) + by } : entry,
        );
        const [before, after] = [
          chosen(decide(request, options).choice),
          chosen(decide(request, raised).choice),
        ];
        expect(after === undefined).toBe(before === undefined);
        if (before !== undefined && !isPriced(before)) expect(after).toBe(before);
      }),
      RUNS,
    );
  });
});
