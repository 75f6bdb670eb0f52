import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NetworkMeter } from '../../../client-sdk/src/network.ts';

function meterOf(...roundTripsMs: number[]): NetworkMeter {
  const meter = new NetworkMeter();
  for (const roundTripMs of roundTripsMs) meter.add(roundTripMs);
  return meter;
}

describe('network meter', () => {
  test('guesses before the first measurement, with doubt', () => {
    const { rtt } = new NetworkMeter().path;
    expect(rtt.meanMs).toBeGreaterThan(0);
    expect(rtt.varianceMs2).toBeGreaterThan(0);
  });

  test('the first measurement replaces the guess', () => {
    expect(meterOf(8).path.rtt.meanMs).toBe(8);
  });

  test('one slow first call does not move the median', () => {
    expect(meterOf(900, 10, 10, 10, 10).path.rtt.meanMs).toBe(10);
    expect(meterOf(900, 10).path.rtt.meanMs).toBe(10);
  });

  test('equal round trips still leave some spread', () => {
    expect(meterOf(20, 20, 20).path.rtt.varianceMs2).toBeGreaterThan(0);
  });

  test('a clock that went backwards counts as no time at all', () => {
    expect(meterOf(-5).path.rtt).toEqual({ meanMs: 0, varianceMs2: 0 });
  });

  test('remembers a bounded number of round trips: former ones no longer count', () => {
    const recent = fc.array(fc.double({ min: 0, max: 1_000, noNaN: true }), { minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true })), recent, (former, latest) => {
        expect(meterOf(...former, ...latest).path).toEqual(meterOf(...latest).path);
      }),
    );
  });
});
