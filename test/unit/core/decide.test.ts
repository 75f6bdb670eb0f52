import { type Choice, decide, type Option } from '@nearfar/core';
import type { Parameters } from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { option, parts, spec, time } from './builders.ts';

function chosen(choice: Choice): Option {
  if (choice.kind === 'refused') throw new Error(`refused: ${choice.message}`);
  return choice.chosen.option;
}

describe('decide', () => {
  test('prefers a slower tier when it is cheaper and still meets the deadline', () => {
    const slow = option({
      tier: 'browser',
      worker: 'page',
      costPicoUsd: 10,
      parts: parts({ compute: time(40, 4) }),
    });
    const fast = option({ costPicoUsd: 500, parts: parts({ compute: time(5, 1) }) });
    expect(chosen(decide(spec({ slo_ms: 100 }), [fast, slow]).choice)).toBe(slow);
    expect(chosen(decide(spec({ slo_ms: 20 }), [fast, slow]).choice)).toBe(fast);
  });

  test('a higher target moves the request to a placement with a smaller tail', () => {
    const cheapButSpread = option({ worker: 'a', costPicoUsd: 1, parts: parts({ compute: time(30, 20) }) });
    const steady = option({ worker: 'b', costPicoUsd: 9, parts: parts({ compute: time(40, 1) }) });
    const options = [cheapButSpread, steady];
    expect(chosen(decide(spec({ slo_ms: 60, slo_target: 0.9 }), options).choice)).toBe(cheapButSpread);
    expect(chosen(decide(spec({ slo_ms: 60, slo_target: 0.999 }), options).choice)).toBe(steady);
  });

  test('a higher minimum accuracy moves the request to a larger variant', () => {
    const tiny = option({ variant: 'tiny', accuracy: 0.88, costPicoUsd: 1 });
    const large = option({ variant: 'large', accuracy: 0.94, costPicoUsd: 100 });
    expect(chosen(decide(spec({}), [tiny, large]).choice)).toBe(tiny);
    expect(chosen(decide(spec({ min_accuracy: 0.9 }), [tiny, large]).choice)).toBe(large);
  });

  test('prefer accuracy takes the most accurate within the cost cap', () => {
    const tiny = option({ variant: 'tiny', accuracy: 0.88, worstCostPicoUsd: 10 });
    const small = option({ variant: 'small', accuracy: 0.91, worstCostPicoUsd: 1_000_000 });
    const large = option({ variant: 'large', accuracy: 0.94, worstCostPicoUsd: 5_000_000 });
    const options = [tiny, small, large];
    expect(chosen(decide(spec({ prefer: 'accuracy' }), options).choice)).toBe(large);
    expect(chosen(decide(spec({ prefer: 'accuracy', max_cost_usd: 2e-6 }), options).choice)).toBe(small);
  });

  test.each([
    ['local_only', ['browser']],
    ['no_pool', ['browser', 'edge']],
    ['any', ['browser', 'edge', 'pool']],
  ] as const)('privacy %s allows only %j', (privacy, allowed) => {
    const options = (['browser', 'edge', 'pool'] as const).map((tier) => option({ tier, worker: tier }));
    const { candidates } = decide(spec({ privacy }), options);
    const feasible = candidates
      .filter(({ reasons }) => reasons.length === 0)
      .map((candidate) => candidate.option.tier);
    expect(feasible).toEqual(allowed);
  });

  test('best effort breaks the deadline and nothing else', () => {
    const late = option({ parts: parts({ compute: time(500, 10) }) });
    const secret = option({ tier: 'pool', worker: 'pool-1' });
    const best = decide(spec({ slo_ms: 50, privacy: 'no_pool' }), [late, secret]);
    expect(best.choice.kind).toBe('best-effort');
    expect(chosen(best.choice)).toBe(late);
    expect(decide(spec({ slo_ms: 50, on_infeasible: 'reject' }), [late]).choice.kind).toBe('refused');
  });

  test('a refusal says what would have been feasible', () => {
    const refused = decide(spec({ max_cost_usd: 1e-9 }), [option({ worstCostPicoUsd: 2_000_000 })]).choice;
    expect(refused).toMatchObject({ kind: 'refused', nearest: { max_cost_usd: 2e-6 } });
    const inaccurate = decide(spec({ min_accuracy: 0.99 }), [option({ accuracy: 0.9 })]).choice;
    expect(inaccurate).toMatchObject({ kind: 'refused', nearest: { min_accuracy: 0.9 } });
    const late = decide(
      spec({ slo_ms: 10, on_infeasible: 'reject' }),
      [option({ parts: parts({ compute: time(100) }) })],
      5,
    );
    expect(late.choice).toMatchObject({ kind: 'refused', nearest: { slo_ms: 105 } });
    const pool = decide(spec({ privacy: 'no_pool' }), [option({ tier: 'pool' })]).choice;
    expect(pool).toMatchObject({ kind: 'refused', nearest: { privacy: 'any' } });
  });

  test('a refusal names nothing when two demands stand in the way of every option', () => {
    const choice = decide(spec({ privacy: 'local_only', min_accuracy: 0.99 }), [option()]).choice;
    expect(choice).toMatchObject({ kind: 'refused', nearest: {} });
  });

  test('gives less accuracy only to who allows it, and only where nothing of what was asked for is on time', () => {
    const busy = option({ variant: 'large', accuracy: 0.95, parts: parts({ queue: time(80, 40) }) });
    const small = option({ variant: 'small', accuracy: 0.9, costPicoUsd: 10 });
    const tiny = option({ variant: 'tiny', accuracy: 0.8, costPicoUsd: 1 });
    const options = [busy, small, tiny];
    const ask = (over: Parameters) =>
      decide(spec({ slo_ms: 60, min_accuracy: 0.94, ...over }), options).choice;
    expect(ask({ degrade_to: 0.85 })).toMatchObject({
      kind: 'meets-slo',
      isDegraded: true,
      chosen: { option: small },
    });
    expect(ask({ degrade_to: 0.85, prefer: 'accuracy' })).toMatchObject({ chosen: { option: small } });
    expect(ask({})).toMatchObject({ kind: 'best-effort', chosen: { option: busy } });
    expect(ask({ degrade_to: 0.85, slo_ms: 500 })).toMatchObject({
      isDegraded: false,
      chosen: { option: busy },
    });
    // Where nothing is on time, less accuracy would buy nothing.
    expect(ask({ degrade_to: 0.85, slo_ms: 2 })).toMatchObject({
      kind: 'best-effort',
      chosen: { option: busy },
    });
  });

  test('breaks no other demand for the sake of a lesser accuracy', () => {
    const pool = option({ variant: 'small', tier: 'pool', accuracy: 0.9 });
    const choice = decide(spec({ min_accuracy: 0.95, degrade_to: 0.8, privacy: 'no_pool' }), [pool]).choice;
    expect(choice.kind).toBe('refused');
  });

  test('a refusal says how soon a queue will be short enough', () => {
    const reject = { slo_ms: 60, on_infeasible: 'reject' as const };
    const queued = (meanMs: number, over: Partial<Option> = {}) =>
      option({ parts: parts({ queue: time(meanMs, meanMs / 2) }), ...over });
    const afterMs = (...options: Option[]) => {
      const { choice } = decide(spec(reject), options);
      return choice.kind === 'refused' ? choice.retryAfterMs : Number.NaN;
    };
    const [first = 0, second = 0] = [afterMs(queued(200)), afterMs(queued(400), queued(900))];
    expect(second - first).toBeCloseTo(200, -1);
    // What remains of the queue by then is on time, and a little earlier it is not.
    const left = (waitedMs: number) => decide(spec(reject), [queued(200 - waitedMs)]).choice.kind;
    expect([left(first + 1), left(first - 2)]).toEqual(['meets-slo', 'refused']);
    expect(afterMs(queued(0, { blockers: [{ code: 'queue-full', message: 'full' }] }))).toBe(5);
    expect(
      afterMs(queued(200, { blockers: [{ code: 'worker-silent', message: 'silent' }] })),
    ).toBeUndefined();
    expect(afterMs(queued(200, { parts: parts({ queue: time(9), compute: time(100) }) }))).toBeUndefined();
  });

  test('of workers that differ in their queues alone, best effort takes the soonest', () => {
    // The vaguer of two hopeless waits looks a little likelier to be short.
    const soon = option({ worker: 'a', parts: parts({ queue: time(200, 1) }) });
    const vague = option({ worker: 'b', parts: parts({ queue: time(220, 400) }) });
    expect(chosen(decide(spec({ slo_ms: 50 }), [vague, soon]).choice)).toBe(soon);
  });

  test('time that is already spent counts against the deadline', () => {
    const options = [option({ parts: parts({ compute: time(40, 1) }) })];
    expect(decide(spec({ slo_ms: 100 }), options).choice.kind).toBe('meets-slo');
    expect(decide(spec({ slo_ms: 100 }), options, 70).choice.kind).toBe('best-effort');
  });

  test('a figure that is no number is never feasible', () => {
    for (const meanMs of [Number.NaN, Number.POSITIVE_INFINITY, 1e308]) {
      const broken = option({ parts: parts({ network: { meanMs, varianceMs2: 1e308 } }) });
      expect(decide(spec({ slo_ms: 1e5, on_infeasible: 'reject' }), [broken]).choice.kind).toBe('refused');
    }
  });

  test('what is predicted is counted like the deadline, with what was spent', () => {
    const fast = option({ parts: parts({ network: time(10), compute: time(30) }) });
    const [judged] = decide(spec({ slo_ms: 100 }), [fast], 25).candidates;
    expect(judged).toMatchObject({ spentMs: 25, predictedMs: 65, tailMs: 65 });
  });

  test('a blocked option is explained and never chosen', () => {
    const blocked = option({ costPicoUsd: 0, blockers: [{ code: 'worker-draining', message: 'draining' }] });
    const decision = decide(spec({}), [blocked]);
    expect(decision.choice.kind).toBe('refused');
    expect(decision.candidates[0]?.reasons).toEqual([{ code: 'worker-draining', message: 'draining' }]);
  });

  test('does not depend on the order of the options', () => {
    const anyOption = fc
      .record({
        variant: fc.constantFrom('tiny', 'small', 'large'),
        tier: fc.constantFrom('browser' as const, 'edge' as const, 'pool' as const),
        worker: fc.constantFrom('a', 'b', 'c'),
        accuracy: fc.constantFrom(0.88, 0.91, 0.94),
        costPicoUsd: fc.integer({ min: 0, max: 5 }),
        meanMs: fc.integer({ min: 1, max: 200 }),
        deviationMs: fc.integer({ min: 0, max: 50 }),
      })
      .map(({ meanMs, deviationMs, ...rest }) =>
        option({ ...rest, parts: parts({ compute: time(meanMs, deviationMs) }) }),
      );
    fc.assert(
      fc.property(
        fc.uniqueArray(anyOption, {
          minLength: 1,
          maxLength: 12,
          selector: (o) => `${o.variant}${o.tier}${o.worker}`,
        }),
        fc.integer({ min: 1, max: 300 }),
        fc.infiniteStream(fc.nat()),
        (options, sloMs, keys) => {
          const shuffled = options
            .map((value) => ({ value, key: keys.next().value ?? 0 }))
            .sort((a, b) => a.key - b.key)
            .map(({ value }) => value);
          const request = spec({ slo_ms: sloMs });
          expect(chosen(decide(request, shuffled).choice)).toBe(chosen(decide(request, options).choice));
        },
      ),
    );
  });
});
