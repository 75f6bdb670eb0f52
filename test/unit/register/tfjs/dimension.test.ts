import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Dimension,
  isSame,
  known,
  printShape,
  product,
  quotient,
  sizeOrFree,
  unknown,
} from '../../../../register/src/tfjs/dimension.ts';

const dimension: fc.Arbitrary<Dimension> = fc.record({
  size: fc.integer({ min: 1, max: 1_000 }),
  free: fc.array(fc.constantFrom('N', 'H', 'W'), { maxLength: 3 }).map((names) => names.toSorted()),
});

test('what is multiplied in can be divided out', () => {
  fc.assert(
    fc.property(dimension, dimension, (a, b) => {
      const found = quotient(product([a, b]), b);
      expect(found !== undefined && isSame(found, a)).toBe(true);
    }),
  );
});

test('the order of factors does not matter', () => {
  fc.assert(
    fc.property(fc.array(dimension, { maxLength: 4 }), (dimensions) => {
      expect(isSame(product(dimensions), product(dimensions.toReversed()))).toBe(true);
    }),
  );
});

test('a quotient that is not known to be whole is none', () => {
  expect(quotient(known(7), known(2))).toBeUndefined();
  expect(quotient(known(8), unknown('N'))).toBeUndefined();
  expect(quotient(known(8), known(0))).toBeUndefined();
});

test('is written as tfjs and as people write it', () => {
  const shape = [unknown('N'), known(3), product([known(4), unknown('H')])];
  expect(shape.map(sizeOrFree)).toEqual([-1, 3, -1]);
  expect(printShape(shape)).toBe('[N, 3, 4 · H]');
});
