import { ProfileBook, Sketch } from '@nearfar/core';
import { expect, test, vi } from 'vitest';
import { DominanceIndex } from '../../../coordinator/src/dominated.ts';
import { sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { ManualClock } from '../../support/worker/manual-clock.ts';

const fast = sampleVariant();
const slow = sampleVariant({ variant: 'tiny-int8-onnx', precision: 'int8' });
const task = sampleTask({ variants: [fast, slow] });

function setUp() {
  const clock = new ManualClock();
  const book = new ProfileBook();
  let version = 0;
  const measure = (deviceClass: string, times: ReadonlyMap<string, number>) => {
    version += 1;
    for (const [variant, ms] of times) {
      const sketch = new Sketch();
      for (let run = 0; run < 50; run += 1) sketch.add(ms);
      const key = { task: task.task, variant, revision: 1, deviceClass, batch: 1 };
      const report = { ...key, epoch: 'e', version, computeMs: sketch.toData() };
      book.absorb({ reporter: 'w', receivedAt: 0, report });
    }
  };
  const index = new DominanceIndex(book, clock);
  const dominated = (deviceClass: string) => [...index.dominators(task, deviceClass).keys()];
  return { clock, book, measure, dominated };
}

const slower = new Map([
  [fast.variant, 2],
  [slow.variant, 8],
]);
const faster = new Map([
  [fast.variant, 8],
  [slow.variant, 2],
]);

test('says of each device class what holds there, anew a second after something was measured', async () => {
  const { clock, measure, dominated } = setUp();
  expect(dominated('cpu:a')).toEqual([]);
  measure('cpu:a', slower);
  measure('cpu:b', faster);
  expect(dominated('cpu:b')).toEqual([fast.variant]);
  expect(dominated('cpu:a')).toEqual([]);
  await clock.advance(1_000);
  expect([dominated('cpu:a'), dominated('cpu:c')]).toEqual([[slow.variant], []]);
});

test('looks at no other device class, of which pages may have made up thousands', () => {
  const { book, measure, dominated } = setUp();
  for (let page = 0; page < 300; page += 1) measure(`webgpu:${page}`, slower);
  const measured = vi.spyOn(book, 'measured');
  const view = vi.spyOn(book, 'view');
  expect(dominated('webgpu:7')).toEqual([slow.variant]);
  expect(measured.mock.calls.map(([{ deviceClass }]) => deviceClass)).toEqual(['webgpu:7', 'webgpu:7']);
  // What was found is kept, for a bounded number of them.
  for (let page = 0; page < 300; page += 1) dominated(`webgpu:${page}`);
  expect(dominated('webgpu:299')).toEqual([slow.variant]);
  expect(measured).toHaveBeenCalledTimes(2 * 300);
  expect(dominated('webgpu:7')).toEqual([slow.variant]);
  expect(measured).toHaveBeenCalledTimes(2 * 301);
  expect(view).not.toHaveBeenCalled();
});
