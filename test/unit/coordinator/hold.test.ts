import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Holder, type Holding, holdings } from '../../../coordinator/src/planning/hold.ts';

function holder(id: string, overrides: Partial<Omit<Holder, 'id'>> = {}): Holder {
  return {
    id,
    tier: 'pool',
    workerClass: 'class',
    canRun: () => true,
    assigned: new Set(['a', 'b']),
    ready: new Set(['a', 'b']),
    needed: new Set(),
    ...overrides,
  };
}

function held(overrides: Partial<Holding>): Record<string, string[]> {
  const found = holdings({ workers: [], keys: ['a', 'b'], wanted: () => 0, demands: [], ...overrides });
  return Object.fromEntries([...found].map(([id, keys]) => [id, [...keys].sort()]));
}

const NONE = { assigned: new Set<string>(), ready: new Set<string>() };

describe('what workers hold', () => {
  test('is what the plan wants, on the workers that have it already', () => {
    const workers = [holder('1', NONE), holder('2'), holder('3')];
    const wanted = (_class: string, key: string) => (key === 'a' ? 2 : 1);
    expect(held({ workers, wanted })).toEqual({ 1: [], 2: ['a', 'b'], 3: ['a'] });
  });

  test('loads first: what is spare stays until something else is ready', () => {
    const loading = { assigned: new Set(['a', 'b']), ready: new Set<string>(), workerClass: 'new' };
    const wanted = (workerClass: string) => (workerClass === 'new' ? 1 : 0);
    expect(held({ workers: [holder('old'), holder('new', loading)], wanted })).toEqual({
      old: ['a', 'b'],
      new: ['a', 'b'],
    });
    expect(held({ workers: [holder('old'), holder('new', { workerClass: 'new' })], wanted })).toEqual({
      old: [],
      new: ['a', 'b'],
    });
  });

  test('keeps the last replica of a variant, whoever wants it', () => {
    expect(held({ workers: [holder('1'), holder('2')] })).toEqual({ 1: [], 2: ['a', 'b'] });
  });

  test('keeps in the pool what is only at the edge besides, not the other way round', () => {
    expect(held({ workers: [holder('1'), holder('2', { tier: 'edge' })] })).toEqual({ 1: ['a', 'b'], 2: [] });
  });

  test('keeps what serves a demand that nothing else serves', () => {
    const onlyOnFirst = (worker: Holder, key: string) => worker.id === '1' && key === 'a';
    expect(held({ workers: [holder('1'), holder('2')], demands: [onlyOnFirst] })).toEqual({
      1: ['a'],
      2: ['a', 'b'].slice(1),
    });
  });

  test('keeps what was asked for not long ago', () => {
    expect(held({ workers: [holder('1', { needed: new Set(['b']) }), holder('2')] })['1']).toEqual(['b']);
  });

  test('loads what is nowhere on everything that can run it', () => {
    const workers = [holder('1', NONE), holder('2', { ...NONE, canRun: (key) => key === 'a' })];
    expect(held({ workers })).toEqual({ 1: ['a', 'b'], 2: ['a'] });
  });

  test('never takes away a variant’s last ready replica nor a demand’s last server, whatever is wanted', () => {
    const subset = fc.subarray(['a', 'b', 'c']);
    const worker = fc.record({ assigned: subset, ready: subset, needed: subset, isOther: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(worker, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat({ max: 2 }), { minLength: 6, maxLength: 6 }),
        fc.array(fc.array(fc.boolean(), { minLength: 15, maxLength: 15 }), { maxLength: 4 }),
        (facts, counts, tables) => {
          const keys = ['a', 'b', 'c'];
          const workers = facts.map(({ assigned, ready, needed, isOther }, index) =>
            holder(`${index}`, {
              workerClass: isOther ? 'other' : 'class',
              assigned: new Set(assigned),
              ready: new Set(ready.filter((key) => assigned.includes(key))),
              needed: new Set(needed),
            }),
          );
          const demands = tables.map(
            (table) => (one: Holder, key: string) => table[Number(one.id) * 3 + keys.indexOf(key)] === true,
          );
          const wanted = (workerClass: string, key: string) =>
            counts[keys.indexOf(key) + (workerClass === 'other' ? 3 : 0)] ?? 0;
          const found = holdings({ workers, keys, wanted, demands });
          const stays = (one: Holder, key: string) =>
            one.ready.has(key) && found.get(one.id)?.has(key) === true;
          for (const key of keys) {
            const wasReady = workers.some((one) => one.ready.has(key));
            expect(!wasReady || workers.some((one) => stays(one, key))).toBe(true);
          }
          for (const demand of demands) {
            const serves = (test: (one: Holder, key: string) => boolean) =>
              workers.some((one) => keys.some((key) => test(one, key) && demand(one, key)));
            expect(!serves((one, key) => one.ready.has(key)) || serves(stays)).toBe(true);
          }
        },
      ),
    );
  });
});
