import { DRIFT_WINDOW } from '@nearfar/core';
import { describe, expect, test } from 'vitest';
import { Device } from '../../../client-sdk/src/device.ts';
import type { LoadTimes } from '../../../client-sdk/src/local-variant.ts';
import type { EngineName } from '../../../client-sdk/src/types.ts';
import { HandClock, rowsOf, taskInfo, variantSpec } from './builders.ts';
import { AnsweringWorkers } from './fake-worker.ts';

const CPU_ONLY = { webgpu: undefined, description: 'none', architecture: 'x64', cores: 4 } as const;
const WITH_GPU = {
  ...CPU_ONLY,
  webgpu: { vendor: 'test', architecture: 'gpu', isFallback: false, hasF16: false },
};

const LOADED: LoadTimes = { downloadMs: 4, compileMs: 3, firstRunMs: 2 };

/** A device whose engine takes `callMs` for each call. */
function deviceWith(
  engines: readonly EngineName[] = ['ort-wasm'],
  clock = new HandClock(),
  callMs = 0,
): Device {
  const workers = new AnsweringWorkers((call) => {
    clock.ms += callMs;
    return call.kind === 'run' ? [rowsOf('y', 1, 2)] : [];
  });
  return new Device({
    now: clock.now,
    createWorker: workers.create,
    engines,
    assetBase: undefined,
    onChange: () => undefined,
  });
}

/** A device with one ready variant that was measured twice. */
async function readyDevice(): Promise<Device> {
  const device = deviceWith();
  device.capability = CPU_ONLY;
  const spec = variantSpec();
  await device.load('ort-wasm', spec, { spec, files: [] }, new AbortController().signal);
  await device.add('ort-wasm', spec, LOADED, [5, 5]);
  return device;
}

const run = (device: Device, input = rowsOf('x', 1, 2)) =>
  device.run(variantSpec(), [input], new AbortController().signal);
const runsIn = (device: Device) =>
  device
    .measured()
    .profiles.map(({ computeMs }) => computeMs.buckets.reduce((sum, [, count]) => sum + count, 0));

describe('the class of a device that nothing is ready on', () => {
  test.each([
    [['tfjs-webgpu', 'ort-wasm'], 'webgpu:test-gpu'],
    [['ort-wasm', 'tfjs-webgpu'], 'wasm:x64-4'],
    [['ort-wasm'], 'wasm:x64-4'],
  ] as const)('with %s on a GPU is %s', (engines, deviceClass) => {
    const device = deviceWith(engines);
    expect(device.deviceClass).toBeUndefined();
    device.capability = WITH_GPU;
    expect(device.deviceClass).toBe(deviceClass);
  });

  test('passes over engines that the device cannot run', () => {
    const device = deviceWith(['tfjs-webgpu', 'ort-wasm']);
    device.capability = CPU_ONLY;
    expect(device.deviceClass).toBe('wasm:x64-4');
  });
});

describe('what a device measured', () => {
  test('is told until it has arrived, each time as a whole', async () => {
    const device = await readyDevice();
    expect(runsIn(device)).toEqual([2]);
    const { confirm } = device.measured();
    confirm();
    expect(runsIn(device)).toEqual([]);
    await run(device);
    expect(runsIn(device)).toEqual([3]);
    device.close();
  });

  test('while a report is on its way comes with the next one', async () => {
    const device = await readyDevice();
    const { confirm } = device.measured();
    await run(device);
    confirm();
    expect(runsIn(device)).toEqual([3]);
    device.close();
  });

  test('tells how long a page without anything waits, the start of the engine included', async () => {
    const clock = new HandClock();
    const device = deviceWith(['ort-wasm'], clock, 100);
    device.capability = CPU_ONLY;
    await device.start('ort-wasm', new AbortController().signal);
    await device.add('ort-wasm', variantSpec(), LOADED, [5]);
    expect(device.measured().profiles[0]).toMatchObject({
      loadMs: 109,
      downloadMs: 4,
      compileMs: 3,
      firstRunMs: 2,
      modelBytes: 10_000,
      runtimeBytes: 3_700_000,
    });
    device.close();
  });

  test('a device that got slower is told by its newest runs, in a report that holds', async () => {
    const clock = new HandClock();
    const device = deviceWith(['ort-wasm'], clock, 20);
    device.capability = CPU_ONLY;
    const spec = variantSpec();
    await device.load('ort-wasm', spec, { spec, files: [] }, new AbortController().signal);
    await device.add(
      'ort-wasm',
      spec,
      LOADED,
      Array.from({ length: 100 }, () => 5),
    );
    const before = device.measured();
    before.confirm();
    for (let index = 0; index < DRIFT_WINDOW; index += 1) await run(device);
    const [profile] = device.measured().profiles;
    expect(runsIn(device)).toEqual([DRIFT_WINDOW]);
    expect(profile?.version).toBeGreaterThan(before.profiles[0]?.version ?? 0);
    expect(device.ready[0]?.meanMs).toBeCloseTo(20);
    device.close();
  });

  test('batches are not counted as runs of one input', async () => {
    const device = await readyDevice();
    await run(device, rowsOf('x', 1, 2, 3, 4));
    expect(runsIn(device)).toEqual([2]);
    device.close();
  });

  test('can still be told after it is closed, but nothing is ready', async () => {
    const device = await readyDevice();
    device.close();
    expect(runsIn(device)).toEqual([2]);
    expect(device.ready).toEqual([]);
  });
});

describe('a device whose tasks change', () => {
  test('lets go what no task has any more in its revision, and keeps the rest', async () => {
    const device = await readyDevice();
    await device.retain([taskInfo({ revision: 2 })]);
    expect(device.has(variantSpec())).toBe(true);
    await device.retain([taskInfo({ revision: 3 }, [variantSpec({ revision: 2 })])]);
    expect(device.ready).toEqual([]);
    await expect(run(device)).rejects.toMatchObject({ code: 'MESH_VARIANT_NOT_READY' });
    device.close();
  });

  test('runs a variant in the named revision alone', async () => {
    const device = await readyDevice();
    const named = variantSpec({ revision: 2 });
    await expect(device.run(named, [rowsOf('x', 1, 2)], new AbortController().signal)).rejects.toMatchObject({
      code: 'MESH_VARIANT_NOT_READY',
    });
    device.close();
  });
});
