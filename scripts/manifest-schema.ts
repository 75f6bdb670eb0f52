// Writes the JSON Schema of manifests, which editors check them by, from the schema that the mesh checks them by.
import { writeFileSync } from 'node:fs';
import { manifestSchema } from '@nearfar/protocol';
import { toJsonSchema } from '@valibot/to-json-schema';

/** The JSON Schema of `manifest.json` (draft 2020-12). */
export function manifestJsonSchema(): string {
  const schema = toJsonSchema(manifestSchema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    // JSON has no infinite numbers, and a cap that is applied silently is no constraint of what may be written.
    ignoreActions: ['transform', 'finite'],
  });
  const described = {
    title: 'nearfar manifest',
    description: 'A task and the models that solve it',
    ...schema,
  };
  return `${JSON.stringify(described, null, 2)}\n`;
}

if (import.meta.main) {
  writeFileSync(new URL('../protocol/src/manifest.schema.json', import.meta.url), manifestJsonSchema());
}
