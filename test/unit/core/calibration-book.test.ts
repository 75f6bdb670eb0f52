import { CALIBRATION_LEVELS, CalibrationBook, type CalibrationKey, quantileMs } from '@nearfar/core';
import { describe, expect, test } from 'vitest';
import { createUniform, STREAMS } from '../../../bench/src/random.ts';
import { time } from './builders.ts';

const PREDICTED = time(20, 4);

function key(over: Partial<CalibrationKey> = {}): CalibrationKey {
  return {
    task: 'digits',
    variant: 'small',
    revision: 1,
    tier: 'edge',
    deviceClass: 'cpu:test',
    ...over,
  };
}

/** Requests on each worker in turn, `factor` times as long as predicted there. */
function run(book: CalibrationBook, requests: number, factors: Readonly<Record<string, number>>, of = key()) {
  const random = createUniform(requests, STREAMS.drift);
  const workers = Object.entries(factors);
  for (let index = 0; index < requests; index += 1) {
    const [worker, factor] = workers[index % workers.length] ?? ['w', 1];
    const latencyMs = quantileMs(PREDICTED, Math.min(0.9999, Math.max(0.0001, random())));
    book.observe(of, worker, PREDICTED, factor * latencyMs);
  }
}

const EIGHT = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`w${index}`, 1]));

describe('a worker that slowed down', () => {
  test('is caught after a handful of its own requests, and its like are left alone', () => {
    const book = new CalibrationBook();
    run(book, 800, EIGHT);
    run(book, 8 * 6, { ...EIGHT, w0: 3 });
    const slow = book.curve(key(), 'w0')?.meanMs(PREDICTED) ?? 0;
    const other = book.curve(key(), 'w1')?.meanMs(PREDICTED) ?? 0;
    expect(slow).toBeGreaterThan(45);
    expect(slow).toBeLessThan(75);
    expect(other).toBeGreaterThan(18);
    expect(other).toBeLessThan(23);
  });

  test('is slow in all that it runs', () => {
    const book = new CalibrationBook();
    run(book, 800, EIGHT);
    run(book, 800, EIGHT, key({ variant: 'large' }));
    run(book, 8 * 10, { ...EIGHT, w0: 3 });
    expect(book.curve(key({ variant: 'large' }), 'w0')?.meanMs(PREDICTED)).toBeGreaterThan(45);
  });

  test('among a thousand workers does not wait for requests of each', () => {
    const book = new CalibrationBook();
    const thousand = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`w${index}`, 1]));
    run(book, 3_000, thousand);
    const { w7: _, ...others } = thousand;
    for (let index = 0; index < 6; index += 1) {
      book.observe(key(), 'w7', PREDICTED, 60);
      run(book, 100, others);
    }
    expect(book.curve(key(), 'w7')?.quantileMs(PREDICTED, 0.95)).toBeGreaterThan(45);
    expect(book.curve(key(), 'w8')?.quantileMs(PREDICTED, 0.95)).toBeLessThan(32);
  });

  test('is found again when it has recovered', () => {
    const book = new CalibrationBook();
    run(book, 800, EIGHT);
    run(book, 8 * 50, { ...EIGHT, w0: 3 });
    run(book, 8 * 10, EIGHT);
    expect(book.curve(key(), 'w0')?.meanMs(PREDICTED)).toBeLessThan(25);
  });
});

describe('a variant of which nothing was observed', () => {
  test('is predicted as it is, whatever others of its device class and worker took', () => {
    const book = new CalibrationBook();
    run(book, 500, { w0: 2, w1: 0.3 });
    expect(book.curve(key({ task: 'faces', variant: 'new' }), 'w0')).toBeUndefined();
    expect(book.curve(key({ variant: 'new' }), 'w1')).toBeUndefined();
    expect(book.curve(key({ deviceClass: 'cpu:other' }), 'w9')).toBeUndefined();
    expect(book.curve(key({ tier: 'pool' }), 'w9')).toBeUndefined();
  });
});

describe('what a book holds', () => {
  test('is bounded, and what was not used for longest gives way', () => {
    const book = new CalibrationBook({ maxKeys: 2, maxWorkers: 2 });
    for (const variant of ['a', 'b', 'a', 'c']) book.observe(key({ variant }), 'w0', PREDICTED, 20);
    expect(book.size).toBe(2);
    expect(book.promise(key({ variant: 'a' }))).toBeDefined();
    expect(book.promise(key({ variant: 'b' }))).toBeUndefined();
    expect(book.promise(key({ variant: 'c' }))).toBeDefined();
  });

  test('is without a revision that is gone', () => {
    const book = new CalibrationBook();
    for (const revision of [1, 2]) {
      for (const deviceClass of ['cpu:a', 'cpu:b'])
        book.observe(key({ revision, deviceClass }), 'w', PREDICTED, 9);
    }
    book.forget({ task: 'digits', variant: 'small', revision: 1 });
    expect(book.size).toBe(2);
    expect(book.promise(key({ revision: 2, deviceClass: 'cpu:a' }))).toBeDefined();
    expect(book.promise(key({ revision: 1, deviceClass: 'cpu:a' }))).toBeUndefined();
  });

  test.each([{ maxKeys: 0 }, { maxWorkers: 1.5 }])('cannot be bounded by %o', (options) => {
    expect(() => new CalibrationBook(options)).toThrow(RangeError);
  });
});

test('a prediction that cannot be corrected moves nothing', () => {
  const book = new CalibrationBook();
  run(book, 100, EIGHT);
  const quantiles = () =>
    CALIBRATION_LEVELS.map((level) => book.curve(key(), 'w0')?.quantileMs(PREDICTED, level));
  const before = quantiles();
  book.observe(key(), 'w0', time(0), 50);
  book.observe(key(), 'w0', PREDICTED, Number.NaN);
  expect(quantiles()).toEqual(before);
});

test('many requests that passed a place over count like one after the other', () => {
  const [one, other] = [new CalibrationBook(), new CalibrationBook()];
  for (const book of [one, other]) run(book, 200, { ...EIGHT, w0: 3 });
  for (let request = 0; request < 40; request += 1) one.passedOver(key(), 'w0');
  other.passedOver(key(), 'w0', 40);
  const tail = (book: CalibrationBook) => book.curve(key(), 'w0')?.quantileMs(PREDICTED, 0.99);
  expect(tail(other)).toBeCloseTo(tail(one) ?? Number.NaN, 6);
});

test('a curve holds the share of its worker', () => {
  const book = new CalibrationBook();
  run(book, 800, EIGHT);
  run(book, 8 * 20, { ...EIGHT, w0: 3 });
  const meanMs = (worker: string) => book.curve(key(), worker)?.meanMs(PREDICTED) ?? Number.NaN;
  expect(meanMs('w0') / meanMs('w1')).toBeGreaterThan(2.3);
});

test('a curve stays what it was when it was asked for', () => {
  const book = new CalibrationBook();
  run(book, 100, EIGHT);
  const curve = book.curve(key(), 'w0');
  const before = curve?.quantileMs(PREDICTED, 0.95);
  run(book, 100, { w0: 4 });
  expect(curve?.quantileMs(PREDICTED, 0.95)).toBe(before);
  expect(book.curve(key(), 'w0')?.quantileMs(PREDICTED, 0.95)).toBeGreaterThan(2 * (before ?? 0));
});
