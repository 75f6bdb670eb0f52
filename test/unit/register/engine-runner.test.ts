import { expect, test } from 'vitest';
import { lanesOf } from '../../../register/src/engine-runner.ts';

const MIB = 1024 * 1024;

test('small models run on every core, up to eight', () => {
  expect(lanesOf(4 * MIB, 2)).toBe(2);
  expect(lanesOf(4 * MIB, 64)).toBe(8);
  expect(lanesOf(0, 4)).toBe(4);
});

test('of large models there are so many copies as a gibibyte holds, and one at least', () => {
  expect(lanesOf(300 * MIB, 16)).toBe(3);
  expect(lanesOf(1_000 * MIB, 16)).toBe(1);
  expect(lanesOf(2_000 * MIB, 16)).toBe(1);
});
