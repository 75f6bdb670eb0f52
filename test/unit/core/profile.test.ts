import {
  MAX_REPORTERS,
  ProfileBook,
  RELATIVE_ACCURACY,
  Sketch,
  STALE_AFTER_MS,
  type StoredReport,
} from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const key = { task: 'digits', variant: 'tiny-fp32-onnx', revision: 1, deviceClass: 'cpu:test' };

function stored(
  over: {
    reporter?: string;
    epoch?: string;
    version?: number;
    batch?: number;
    receivedAt?: number;
    values?: number[];
  } = {},
): StoredReport {
  const sketch = new Sketch();
  for (const value of over.values ?? [10]) sketch.add(value);
  return {
    reporter: over.reporter ?? 'worker-1',
    receivedAt: over.receivedAt ?? 0,
    report: {
      ...key,
      batch: over.batch ?? 1,
      epoch: over.epoch ?? 'life-1',
      version: over.version ?? 1,
      computeMs: sketch.toData(),
    },
  };
}

const milliseconds = fc.double({ min: 0.001, max: 10_000, noNaN: true });

describe('sketch', () => {
  test('every quantile is within the relative accuracy of the true one', () => {
    fc.assert(
      fc.property(
        fc.array(milliseconds, { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (values, share) => {
          const sketch = new Sketch();
          for (const value of values) sketch.add(value);
          const sorted = [...values].sort((a, b) => a - b);
          const exact = sorted[Math.max(0, Math.ceil(share * values.length) - 1)] ?? 0;
          const found = sketch.quantile(share) ?? 0;
          expect(Math.abs(found - exact)).toBeLessThanOrEqual(exact * RELATIVE_ACCURACY * 1.001);
        },
      ),
    );
  });

  test('merging commutes and survives the way over the wire', () => {
    fc.assert(
      fc.property(fc.array(milliseconds), fc.array(milliseconds), (left, right) => {
        const build = (values: number[]) => {
          const sketch = new Sketch();
          for (const value of values) sketch.add(value);
          return sketch;
        };
        const leftFirst = build(left);
        leftFirst.merge(build(right));
        const rightFirst = Sketch.fromData(JSON.parse(JSON.stringify(build(right).toData())));
        rightFirst.merge(build(left));
        expect(rightFirst.toData().buckets).toEqual(leftFirst.toData().buckets);
        expect(rightFirst.count).toBe(left.length + right.length);
      }),
    );
  });

  test('refuses what is not a duration', () => {
    expect(() => new Sketch().add(-1)).toThrow(RangeError);
    expect(() => new Sketch().add(Number.NaN)).toThrow(RangeError);
  });
});

describe('profile book', () => {
  test('a report that arrives twice or late changes nothing', () => {
    const book = new ProfileBook();
    expect(book.absorb(stored({ version: 2, values: [10, 10] }))).toBe(true);
    expect(book.absorb(stored({ version: 2, values: [10, 10] }))).toBe(false);
    expect(book.absorb(stored({ version: 1, values: [500] }))).toBe(false);
    expect(book.service(key, 1)?.samples).toBe(2);
  });

  test('a new life of a reporter replaces its former one; other reporters add to it', () => {
    const book = new ProfileBook();
    book.absorb(stored({ values: [10, 10, 10], receivedAt: 0 }));
    book.absorb(stored({ epoch: 'life-2', values: [20], receivedAt: 1 }));
    expect(book.service(key, 1)?.samples).toBe(1);
    book.absorb(stored({ reporter: 'worker-2', values: [20, 20], receivedAt: 2 }));
    expect(book.service(key, 1)).toMatchObject({ samples: 3, compute: { meanMs: 20 } });
  });

  test('joins reports whatever their order, however they are put together, and however often they come', () => {
    /** Of two reporters, each in two lives that follow each other: every version tells all that came before it. */
    const anyReport = fc
      .record({
        reporter: fc.constantFrom('worker:a', 'page:b'),
        life: fc.nat(1),
        version: fc.integer({ min: 1, max: 4 }),
        batch: fc.constantFrom(1, 4),
      })
      .map(({ reporter, life, version, batch }) => {
        const values = Array.from({ length: version }, (_, run) => 1 + life * 10 + run);
        const receivedAt = life * 100 + version;
        return stored({ reporter, epoch: `life-${life}`, version, batch, receivedAt, values });
      });
    const view = (...reports: StoredReport[]) => {
      const book = new ProfileBook();
      for (const entry of reports) book.absorb(entry);
      return [1, 4].map((batch) => {
        const service = book.service(key, batch);
        // Sums of the same numbers in another order may differ by their rounding.
        return (
          service && [
            service.samples,
            service.compute.meanMs.toFixed(9),
            service.compute.varianceMs2.toFixed(6),
          ]
        );
      });
    };
    const some = fc.array(anyReport, { maxLength: 6 });
    fc.assert(
      fc.property(some, some, some, (one, other, third) => {
        const joined = view(...one, ...other, ...third);
        expect(view(...third, ...one, ...other)).toEqual(joined);
        expect(view(...other.toReversed(), ...third, ...one.toReversed())).toEqual(joined);
        expect(view(...one, ...one, ...other, ...third, ...one, ...third)).toEqual(joined);
      }),
    );
  });

  test('few samples mean a wider distribution', () => {
    const few = new ProfileBook();
    few.absorb(stored({ values: [10, 10] }));
    const many = new ProfileBook();
    many.absorb(stored({ values: Array.from({ length: 100 }, () => 10) }));
    expect(few.service(key, 1)?.compute.varianceMs2).toBeGreaterThan(
      many.service(key, 1)?.compute.varianceMs2 ?? 0,
    );
  });

  test('a batch size between two measured ones is interpolated, one beyond them scaled', () => {
    const book = new ProfileBook();
    book.absorb(stored({ batch: 1, values: [10] }));
    book.absorb(stored({ batch: 5, values: [30] }));
    expect(book.service(key, 3)?.compute.meanMs).toBeCloseTo(20);
    expect(book.service(key, 10)?.compute.meanMs).toBeCloseTo(60);
    expect(book.service({ ...key, deviceClass: 'never-seen' }, 1)).toBeUndefined();
  });

  test('keeps a bounded number of reporters', () => {
    const book = new ProfileBook();
    for (let index = 0; index < MAX_REPORTERS + 10; index += 1)
      book.absorb(stored({ reporter: `page-${index}`, receivedAt: index }));
    expect(book.view(1_000)[0]?.reporters).toBe(MAX_REPORTERS);
  });

  test('tells of one batch size what the view does, anew after each report', () => {
    const book = new ProfileBook();
    expect(book.measured(key, 1)).toBeUndefined();
    book.absorb(stored({ values: [1, 2, 3] }));
    expect(book.measured(key, 1)).toMatchObject({ samples: 3, meanMs: 2 });
    expect(book.measured(key, 2)).toBeUndefined();
    book.absorb(stored({ reporter: 'worker-2', values: [8, 9, 100] }));
    const [line] = book.view(0);
    expect(line).toMatchObject({ samples: 6, reporters: 2 });
    expect(line).toMatchObject(book.measured(key, 1) ?? {});
  });

  test('shows quantiles and age', () => {
    const book = new ProfileBook();
    book.absorb(stored({ values: [1, 2, 3, 4, 100], receivedAt: 400 }));
    const [line] = book.view(1_000);
    expect(line).toMatchObject({ ...key, batch: 1, samples: 5, ageMs: 600 });
    expect(line?.p99Ms).toBeCloseTo(100, -1);
  });
});

describe('what the book says besides times', () => {
  const withParts = (entry: StoredReport, parts: Partial<StoredReport['report']>): StoredReport => ({
    ...entry,
    report: { ...entry.report, ...parts },
  });

  test('of each part of a footprint what was reported last', () => {
    const book = new ProfileBook();
    book.absorb(
      withParts(stored({ reporter: 'a', receivedAt: 1 }), { loadMs: 50, downloadMs: 20, peakMemoryBytes: 9 }),
    );
    book.absorb(
      withParts(stored({ reporter: 'b', receivedAt: 2, batch: 4 }), { loadMs: 70, modelBytes: 1_000 }),
    );
    expect(book.footprint(key)).toEqual({
      loadMs: 70,
      downloadMs: 20,
      peakMemoryBytes: 9,
      modelBytes: 1_000,
    });
    expect(book.view(5)[0]).toMatchObject({ batch: 1, loadMs: 70, downloadMs: 20, modelBytes: 1_000 });
    expect(book.footprint({ ...key, deviceClass: 'cpu:other' })).toEqual({});
  });

  test('a profile is stale when its newest report is older than a day', () => {
    const book = new ProfileBook();
    book.absorb(stored({ reporter: 'a', receivedAt: 0 }));
    book.absorb(stored({ reporter: 'b', receivedAt: 1_000 }));
    expect(book.view(STALE_AFTER_MS + 1_000)[0]).toMatchObject({ isStale: false, ageMs: STALE_AFTER_MS });
    expect(book.view(STALE_AFTER_MS + 1_001)[0]).toMatchObject({ isStale: true });
  });

  test('a variant that is forgotten is gone on every device class, in that revision alone', () => {
    const book = new ProfileBook();
    book.absorb(stored());
    book.absorb(withParts(stored(), { deviceClass: 'cpu:other' }));
    book.absorb(withParts(stored(), { revision: 11 }));
    book.absorb(withParts(stored(), { task: 'digits-2' }));
    const before = book.version;
    book.forget(key);
    expect(book.view(0).map(({ task, revision }) => [task, revision])).toEqual([
      ['digits', 11],
      ['digits-2', 1],
    ]);
    expect(book.view(0, 'digits').map(({ revision }) => revision)).toEqual([11]);
    expect(book.version).toBeGreaterThan(before);
  });
});
