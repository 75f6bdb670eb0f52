import { CalibrationBook, type CalibrationKey, decide, type Option, passedOver } from '@nearfar/core';
import { expect, test } from 'vitest';
import { option, parts, spec, time } from './builders.ts';

const KEY: CalibrationKey = {
  task: 'fashion',
  variant: 'small-fp32-onnx',
  revision: 1,
  tier: 'edge',
  deviceClass: 'cpu:test',
};
const PREDICTED = time(10, 2);

/** Cheap, and predicted to take 10 ms; `book` may know better. */
function cheap(book: CalibrationBook): Option {
  const calibration = book.curve(KEY, 'edge-1');
  return option({ parts: parts({ compute: PREDICTED }), ...(calibration !== undefined && { calibration }) });
}

const dear = option({ worker: 'pool-1', tier: 'pool', costPicoUsd: 9_000 });

/** A book by which the cheap place takes four times as long as predicted. */
function slowed(): CalibrationBook {
  const book = new CalibrationBook();
  for (let request = 0; request < 100; request += 1) book.observe(KEY, 'edge-1', PREDICTED, 40);
  return book;
}

/** Decides `count` times, each decision noted, and gives how often the cheap place was chosen. */
function timesChosen(book: CalibrationBook, count: number, learn: (book: CalibrationBook) => void): number {
  const request = spec({ slo_ms: 30 });
  let chosen = 0;
  for (let round = 0; round < count; round += 1) {
    const decision = decide(request, [cheap(book), dear]);
    for (const passed of passedOver(request, decision)) book.passedOver(KEY, passed.worker);
    if (decision.choice.kind !== 'meets-slo' || decision.choice.chosen.option.tier !== 'edge') continue;
    chosen += 1;
    learn(book);
  }
  return chosen;
}

test('a place that only its correction keeps a request from is named', () => {
  const request = spec({ slo_ms: 30 });
  const slow = cheap(slowed());
  expect(passedOver(request, decide(request, [slow, dear]))).toEqual([slow]);
  expect(passedOver(request, decide(request, [slow]))).toEqual([slow]);
});

test('of many places that are alike only one is named, so that a correction fades once for each request', () => {
  const request = spec({ slo_ms: 30 });
  const book = slowed();
  const alike = Array.from({ length: 10 }, (_, index) => ({ ...cheap(book), worker: `edge-${index}` }));
  expect(passedOver(request, decide(request, [...alike, dear])).map(({ worker }) => worker)).toEqual([
    'edge-0',
  ]);
});

test('a place that the request would not have gone to anyway is not', () => {
  const request = spec({ slo_ms: 30 });
  const slow = { ...cheap(slowed()), costPicoUsd: 20_000 };
  expect(passedOver(request, decide(request, [slow, dear]))).toEqual([]);
  const tight = spec({ slo_ms: 9 });
  expect(passedOver(tight, decide(tight, [cheap(slowed()), dear]))).toEqual([]);
  const accurate = spec({ slo_ms: 30, min_accuracy: 0.99 });
  expect(passedOver(accurate, decide(accurate, [cheap(slowed()), dear]))).toEqual([]);
});

test('what was slow for a while is found out to be quick again', () => {
  const quick = (book: CalibrationBook) => book.observe(KEY, 'edge-1', PREDICTED, 10);
  expect(timesChosen(slowed(), 3_000, quick)).toBeGreaterThan(1_500);
});

test('what stays slow costs fewer than one request in a hundred', () => {
  const slow = (book: CalibrationBook) => book.observe(KEY, 'edge-1', PREDICTED, 40);
  const chosen = timesChosen(slowed(), 20_000, slow);
  expect(chosen).toBeGreaterThan(0);
  expect(chosen).toBeLessThan(200);
});
