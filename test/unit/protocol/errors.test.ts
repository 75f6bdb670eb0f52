import { readFile } from 'node:fs/promises';
import { ERRORS, MeshError } from '@nearfar/protocol';
import { expect, test } from 'vitest';

test('every code has a heading and a sentence in docs/errors.md, and every heading a code', async () => {
  const text = await readFile(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
  const sections = [...text.matchAll(/^### (\w+)\n(.+)$/gm)].map(([, code]) => code);
  expect(sections.sort()).toEqual(Object.keys(ERRORS).sort());
});

test('the body on the wire has no stack and no cause', () => {
  const error = new MeshError('MESH_QUEUE_FULL', 'full', {
    cause: new Error('secret'),
    details: { waiting: 3 },
  });
  expect(error.toBody()).toEqual({
    error: 'full',
    code: 'MESH_QUEUE_FULL',
    retryable: true,
    details: { waiting: 3 },
  });
  expect(MeshError.fromBody(error.toBody()).code).toBe('MESH_QUEUE_FULL');
});

test('an unknown code of a newer peer becomes MESH_INTERNAL and keeps its message', () => {
  const error = MeshError.fromBody({ error: 'later', code: 'MESH_FROM_2030', retryable: true });
  expect(error).toMatchObject({ code: 'MESH_INTERNAL', message: 'later' });
});
