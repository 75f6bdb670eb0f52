import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { folderFiles } from '@nearfar/register';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

let home = '';

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'nearfar-files-'));
  await mkdir(join(home, 'task', 'deep'), { recursive: true });
  await mkdir(join(home, 'data', 'cat'), { recursive: true });
  await writeFile(join(home, 'task', 'deep', 'model.onnx'), 'first');
  await writeFile(join(home, 'data', 'cat', '2.png'), 'b');
  await writeFile(join(home, 'data', 'cat', '1.png'), 'a');
  await writeFile(join(home, 'secret'), 'secret');
});
afterAll(() => rm(home, { recursive: true }));

describe('files of a folder', () => {
  const open = () => folderFiles([join(home, 'task'), join(home, 'data')]);

  test('are read from the first folder that has them', async () => {
    expect(Buffer.from(await open().read('deep/model.onnx')).toString()).toBe('first');
    expect(await open().sizeOf('cat/1.png')).toBe(1);
    expect(await open().sizeOf('none')).toBeUndefined();
  });

  test('are listed in order, with paths that can be read', async () => {
    expect(await open().list('cat')).toEqual(['cat/1.png', 'cat/2.png']);
    expect(await open().list('dog')).toEqual([]);
  });

  test.each(['../secret', 'deep/../../secret', '/etc/hostname', '..'])('never leave it: %s', async (path) => {
    for (const attempt of [() => open().read(path), () => open().sizeOf(path), () => open().list(path)]) {
      await expect(attempt()).rejects.toMatchObject({ code: 'MESH_BAD_MANIFEST' });
    }
  });

  test('that are missing are named', async () => {
    await expect(open().read('deep/other.onnx')).rejects.toMatchObject({
      code: 'MESH_BAD_MANIFEST',
      message: expect.stringContaining('deep/other.onnx'),
    });
  });
});
