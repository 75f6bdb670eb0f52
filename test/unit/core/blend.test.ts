import {
  blend,
  MIN_SAMPLES,
  type Option,
  optionsUnderLease,
  type PageView,
  type ServiceTime,
} from '@nearfar/core';
import type { Lease, VariantSpec } from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { time } from './builders.ts';

/** The (population) moments of measured times. */
function measured(values: readonly number[]): ServiceTime {
  const mean = (numbers: readonly number[]) =>
    numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  const meanMs = values.length === 0 ? 0 : mean(values);
  const varianceMs2 = values.length === 0 ? 0 : mean(values.map((value) => (value - meanMs) ** 2));
  return { compute: { meanMs, varianceMs2 }, samples: values.length };
}

const service = (samples: number, meanMs: number, deviationMs = 0): ServiceTime => ({
  compute: time(meanMs, deviationMs),
  samples,
});

describe('blending a device with its class', () => {
  test('a device that has run enough is predicted by itself alone', () => {
    const own = service(MIN_SAMPLES, 10, 1);
    expect(blend(own, service(1_000, 50, 5))).toEqual(own);
  });

  test('a device whose class nobody measured is predicted by itself, however little it ran', () => {
    const own = service(1, 10);
    expect(blend(own, undefined)).toEqual(own);
    expect(blend(own, service(0, 50))).toEqual(own);
  });

  test('a device that has run nothing is predicted by its class alone', () => {
    const { compute, samples } = blend(service(0, 0), service(1_000, 50, 5));
    expect(samples).toBe(MIN_SAMPLES);
    expect(compute.meanMs).toBeCloseTo(50, 9);
    expect(compute.varianceMs2).toBeCloseTo(25, 9);
  });

  test('a class counts for no more than the samples that the device lacks', () => {
    const { compute, samples } = blend(service(10, 100), service(1_000_000, 10));
    expect(samples).toBe(MIN_SAMPLES);
    expect(compute.meanMs).toBeCloseTo((10 * 100 + 20 * 10) / MIN_SAMPLES, 9);
  });

  test('pooled mean and variance are those of the pooled sample', () => {
    const milliseconds = fc.double({ min: 0.001, max: 1_000, noNaN: true });
    const halfOfEnough = { maxLength: MIN_SAMPLES / 2 };
    fc.assert(
      fc.property(
        fc.array(milliseconds, { ...halfOfEnough, minLength: 1 }),
        fc.array(milliseconds, halfOfEnough),
        (own, known) => {
          const pooled = measured([...own, ...known]);
          const { compute, samples } = blend(measured(own), measured(known));
          expect(samples).toBe(pooled.samples);
          expect(compute.meanMs).toBeCloseTo(pooled.compute.meanMs, 6);
          expect(compute.varianceMs2).toBeCloseTo(pooled.compute.varianceMs2, 4);
        },
      ),
    );
  });
});

const variant: VariantSpec = {
  task: 'digits',
  variant: 'tiny-fp32-onnx',
  revision: 2,
  model: 'tiny',
  precision: 'fp32',
  origin: 'supplied',
  format: 'onnx',
  accuracy: { value: 0.9, source: 'declared', sampleSize: 0 },
  inputs: [],
  outputs: [],
  artifacts: [{ path: 'tiny.onnx', sha256: 'a'.repeat(64), sizeBytes: 1_000 }],
  tolerance: 0.001,
  isBatchable: true,
};

/** A page that has run the variant a few times or often. */
function page(own: ServiceTime, over: Partial<PageView> = {}): PageView {
  return {
    deviceClass: 'wasm:x64-4',
    ready: [{ spec: variant, measured: own, runtimeBytes: 500 }],
    backlogMs: 0,
    isSaving: false,
    network: { rtt: time(20), bytesPerMs: undefined },
    ...over,
  };
}

function lease(over: Partial<Lease> = {}): Lease {
  return {
    id: 'lease-1',
    ttlMs: 1_000,
    remote: [],
    profiles: [],
    prices: { energyPicoUsdPerMs: 3, artifactPicoUsdPerByte: 2, expectedReuse: 10 },
    ...over,
  };
}

const ONE = { rows: 1, payloadBytes: 100 };

function onlyOption(options: readonly Option[]): Option {
  expect(options).toHaveLength(1);
  return options[0] as Option;
}

describe('options under a lease', () => {
  const profile = { variant: variant.variant, revision: 2, compute: time(10, 2), samples: 100 };

  test('a page that ran little is predicted with the help of its device class', () => {
    const granted = lease({ profiles: [profile] });
    const { parts } = onlyOption(optionsUnderLease(granted, page(service(1, 100)), ONE));
    expect(parts.compute.meanMs).toBeCloseTo((100 + 29 * 10) / MIN_SAMPLES, 9);
  });

  test('a page that ran enough is predicted by itself', () => {
    const granted = lease({ profiles: [profile] });
    const { parts } = onlyOption(optionsUnderLease(granted, page(service(MIN_SAMPLES, 100, 3)), ONE));
    expect(parts.compute).toEqual(time(100, 3));
  });

  test('the profile of another revision does not help, and little knowledge is a wide guess', () => {
    const granted = lease({ profiles: [{ ...profile, revision: 1 }] });
    const { parts } = onlyOption(optionsUnderLease(granted, page(service(1, 100)), ONE));
    expect(parts.compute.meanMs).toBe(100);
    expect(parts.compute.varianceMs2).toBeGreaterThanOrEqual(100 * 100);
  });

  test('the price of the page is its energy and its share of the download, runtime included', () => {
    const { costPicoUsd, worstCostPicoUsd } = onlyOption(
      optionsUnderLease(lease(), page(service(MIN_SAMPLES, 100)), ONE),
    );
    expect(costPicoUsd).toBe(3 * 100 + (2 * 1_500) / 10);
    expect(worstCostPicoUsd).toBe(costPicoUsd);
  });

  test('a request with more rows takes that many times as long and costs that much, here and remotely', () => {
    const remote = {
      variant: variant.variant,
      revision: 2,
      model: 'tiny',
      tier: 'edge',
      worker: 'edge-1',
      deviceClass: 'cpu:test',
      accuracy: 0.9,
      link: time(1),
      wait: time(7),
      compute: time(5, 1),
      costPicoUsd: 40,
      worstCostPicoUsd: 90,
    } as const;
    const [local, edge] = optionsUnderLease(
      lease({ remote: [remote] }),
      page(service(MIN_SAMPLES, 100, 3), { backlogMs: 50 }),
      { rows: 4, payloadBytes: 400 },
    );
    expect(local?.parts.compute).toEqual(time(400, 12));
    expect(local?.parts.queue.meanMs).toBe(50);
    expect(local?.costPicoUsd).toBe(3 * 400 + (2 * 1_500) / 10);
    expect(edge?.parts.compute).toEqual(time(20, 4));
    expect(edge?.parts).toMatchObject({ network: time(21), queue: time(7) });
    expect(edge).toMatchObject({ worker: 'edge-1', costPicoUsd: 160, worstCostPicoUsd: 360 });
  });

  test('a page that saves is listed with its reason', () => {
    const saving = page(service(MIN_SAMPLES, 1), { isSaving: true });
    expect(onlyOption(optionsUnderLease(lease(), saving, ONE)).blockers).toMatchObject([
      { code: 'device-saving' },
    ]);
  });
});
