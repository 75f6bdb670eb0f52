import { deviceClassSchema } from '@nearfar/protocol';
import { describeDevice, detectDevice, normaliseHardwareName, type Provider } from '@nearfar/worker';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';

/** A probe on which only the named providers run, in so many milliseconds. */
function probeOf(times: Partial<Record<Provider, number>>) {
  return (provider: Provider) => {
    const runMs = times[provider];
    return runMs === undefined
      ? Promise.reject(new Error(`no ${provider} here`))
      : Promise.resolve({ runMs });
  };
}

const describeOne = (provider: Provider) => describeDevice(provider, 1);
const withGpu = { gpuDeviceNodes: ['/dev/dri/renderD128'], describe: describeOne };
const withoutGpu = { gpuDeviceNodes: [], describe: describeOne };

describe('detectDevice', () => {
  test('takes CUDA before anything else', async () => {
    const { provider } = await detectDevice('auto', probeOf({ cuda: 1, webgpu: 1, cpu: 1 }), withGpu);
    expect(provider).toBe('cuda');
  });

  test('takes WebGPU where there is no CUDA and the adapter is fast', async () => {
    const { provider } = await detectDevice('auto', probeOf({ webgpu: 2, cpu: 5 }), withGpu);
    expect(provider).toBe('webgpu');
  });

  test('passes over a WebGPU adapter that is far slower than the CPU, and says so', async () => {
    const { provider, findings } = await detectDevice('auto', probeOf({ webgpu: 500, cpu: 5 }), withGpu);
    expect(provider).toBe('cpu');
    expect(findings.join('\n')).toContain('software adapter, 100.0 times slower');
  });

  test('passes over WebGPU where there is no GPU device at all', async () => {
    const { provider, findings } = await detectDevice('auto', probeOf({ webgpu: 1, cpu: 5 }), withoutGpu);
    expect(provider).toBe('cpu');
    expect(findings.join('\n')).toContain('there is no GPU device');
  });

  test('takes a software adapter that was asked for by name', async () => {
    const { provider } = await detectDevice('webgpu', probeOf({ webgpu: 500 }), withoutGpu);
    expect(provider).toBe('webgpu');
  });

  test('fails with what it found when the wanted device does not run', async () => {
    await expect(detectDevice('cuda', probeOf({ cpu: 1 }), withGpu)).rejects.toMatchObject({
      code: 'MESH_DEVICE_UNAVAILABLE',
      details: { findings: ['cuda: not available (no cuda here)'] },
    });
  });
});

test.each([
  ['AMD EPYC 9R14 96-Core Processor', 'amd-epyc-9r14'],
  ['Intel(R) Xeon(R) CPU @ 2.20GHz', 'intel-xeon'],
  ['NVIDIA H100 80GB HBM3', 'nvidia-h100-80gb-hbm3'],
  ['', 'unknown'],
])('the hardware name "%s" becomes "%s"', (name, expected) => {
  expect(normaliseHardwareName(name)).toBe(expected);
  expect(v.is(deviceClassSchema, `cpu:${expected}:1t`)).toBe(true);
});
