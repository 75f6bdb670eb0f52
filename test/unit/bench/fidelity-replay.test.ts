import { describe, expect, test } from 'vitest';
import { planStretch } from '../../../bench/src/fidelity/minutes.ts';
import { scenarioOf, simulateReplay } from '../../../bench/src/fidelity/simulated-replay.ts';
import { measuredMesh, planned } from './fidelity-builders.ts';

const FREE = [1, 1, 1, 1];

describe('simulated replay', () => {
  test('gives each request once, at its time, in its order', () => {
    const requests = planned({ perSecond: 40, seconds: 10 });
    const simulated = simulateReplay(measuredMesh(), requests, FREE, 1);
    expect(simulated.map(({ sentMs, isOfPage }) => ({ sentMs, isOfPage }))).toEqual(
      requests.map(({ sentMs, isOfPage }) => ({ sentMs, isOfPage })),
    );
  });

  test('only requests of the page are answered in the browser', () => {
    const simulated = simulateReplay(measuredMesh(), planned({ perSecond: 20, seconds: 20 }), FREE, 1);
    const inBrowser = simulated.filter(({ tier }) => tier === 'browser');
    expect(inBrowser.length).toBeGreaterThan(10);
    expect(inBrowser.every(({ isOfPage }) => isOfPage)).toBe(true);
  });

  test('one at a time, a request takes its run and what is around it', () => {
    const measured = measuredMesh({ worker: { p50Ms: 12, p90Ms: 12, p99Ms: 12 }, httpMs: 3 });
    const requests = [0, 500, 1_000].map((sentMs) => ({ arrivalMs: sentMs, sentMs, isOfPage: false }));
    const latencies = simulateReplay(measured, requests, [1, 9, 9, 9], 1).map(({ latencyMs }) => latencyMs);
    for (const latencyMs of latencies) expect(latencyMs).toBeCloseTo(15);
  });

  test('a stronger slow-down makes the same requests later', () => {
    const requests = planned({ perSecond: 60, seconds: 10 });
    const meanOf = (slowdown: readonly number[]) =>
      simulateReplay(measuredMesh(), requests, slowdown, 1).reduce(
        (sum, { latencyMs }) => sum + latencyMs,
        0,
      );
    expect(meanOf([1, 2, 3, 4])).toBeGreaterThan(1.1 * meanOf(FREE));
  });

  test('workers and page share one machine', () => {
    const { fleet, browsers, machines = [] } = scenarioOf(measuredMesh(), [], FREE, 1);
    const used = [...fleet, ...browsers.deviceClasses].map(({ machine }) => machine);
    expect(new Set(used)).toEqual(new Set(machines.map(({ name }) => name)));
  });
});

describe('stretches of load', () => {
  const source = { traceFile: undefined, pageShare: 0.1, seed: 3 };

  test('are the same for the same number, and others for another one', async () => {
    const stretch = { perSecond: 30, seconds: 20 };
    const first = await planStretch(source, { ...stretch, number: 1 });
    expect(await planStretch(source, { ...stretch, number: 1 })).toEqual(first);
    expect(await planStretch(source, { ...stretch, number: 2 })).not.toEqual(first);
  });

  test('have about the rate and the share of the page that are asked for', async () => {
    const requests = await planStretch(source, { number: 4, perSecond: 50, seconds: 200 });
    expect(requests.length / 200).toBeGreaterThan(46);
    expect(requests.length / 200).toBeLessThan(54);
    const share = requests.filter(({ isOfPage }) => isOfPage).length / requests.length;
    expect(Math.abs(share - 0.1)).toBeLessThan(0.01);
  });
});
