import { describe, expect, test } from 'vitest';
import { Device } from '../../../client-sdk/src/device.ts';
import type { EngineName } from '../../../client-sdk/src/types.ts';
import { HandClock, rowsOf, variantSpec } from './builders.ts';
import { AnsweringWorkers } from './fake-worker.ts';

const CPU_ONLY = { webgpu: undefined, description: 'none', architecture: 'x64', cores: 4 } as const;
const WITH_GPU = { ...CPU_ONLY, webgpu: { vendor: 'test', architecture: 'gpu', isFallback: false } };

function deviceWith(engines: readonly EngineName[] = ['ort-wasm']): Device {
  return new Device({
    now: new HandClock().now,
    createWorker: new AnsweringWorkers((call) => (call.kind === 'run' ? [rowsOf('y', 1, 2)] : [])).create,
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
  await device.add('ort-wasm', spec, 10, [5, 5]);
  return device;
}

const run = (device: Device) =>
  device.run('digits', variantSpec().variant, [rowsOf('x', 1, 2)], new AbortController().signal);
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

  test('can still be told after it is closed, but nothing is ready', async () => {
    const device = await readyDevice();
    device.close();
    expect(runsIn(device)).toEqual([2]);
    expect(device.ready).toEqual([]);
  });
});
