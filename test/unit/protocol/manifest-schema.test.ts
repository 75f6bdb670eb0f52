import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { manifestJsonSchema } from '../../../scripts/manifest-schema.ts';

describe('the JSON Schema of manifests', () => {
  test('is the one that the code checks by: run "node scripts/manifest-schema.ts" after a change', () => {
    const published = new URL('../../../protocol/src/manifest.schema.json', import.meta.url);
    expect(readFileSync(published, 'utf8')).toBe(manifestJsonSchema());
  });

  test('refuses keys that it does not know, as the code does', () => {
    const schema = JSON.parse(manifestJsonSchema());
    expect(schema.additionalProperties).toBe(false);
    expect(Object.keys(schema.properties)).toContain('models');
    expect(schema.required).toEqual(['task', 'kind', 'models']);
  });
});
