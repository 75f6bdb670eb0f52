import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
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

  test('are listed in the next folder where this one has none of them', async () => {
    await mkdir(join(home, 'task', 'cat'), { recursive: true });
    expect(await open().list('cat')).toEqual(['cat/1.png', 'cat/2.png']);
  });

  test('include what links lead to, and a folder that links to itself ends', async () => {
    const linked = join(home, 'linked');
    await mkdir(join(linked, 'set'), { recursive: true });
    await symlink(join(home, 'data', 'cat'), join(linked, 'set', 'cat'));
    await symlink(join(home, 'data', 'cat', '1.png'), join(linked, 'set', 'one.png'));
    await symlink(join(linked, 'set'), join(linked, 'set', 'again'));
    await symlink(join(home, 'nowhere'), join(linked, 'set', 'gone.png'));
    const files = folderFiles([linked]);
    expect(await files.list('set')).toEqual([
      'set/cat/1.png',
      'set/cat/2.png',
      // Whoever reads it is told that it is not there; left out, a data set would shrink in silence.
      'set/gone.png',
      'set/one.png',
    ]);
    expect(Buffer.from(await files.read('set/cat/1.png')).toString()).toBe('a');
  });

  test('may lie anywhere when the folder is the root of all', async () => {
    expect(await folderFiles(['/']).sizeOf(join(home, 'secret').slice(1))).toBe(6);
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
