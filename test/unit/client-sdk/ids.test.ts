import { afterEach, expect, test, vi } from 'vitest';
import { createId } from '../../../client-sdk/src/ids.ts';

afterEach(() => {
  vi.unstubAllGlobals();
});

test('an id is a UUID of version 4 and never the same, also where there is no secure context', () => {
  const { getRandomValues } = crypto;
  // All that browsers leave of `crypto` on a page that comes over plain HTTP.
  vi.stubGlobal('crypto', { getRandomValues: getRandomValues.bind(crypto) });
  const ids = Array.from({ length: 200 }, createId);
  for (const id of ids) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
  expect(new Set(ids).size).toBe(ids.length);
});
