import { createMemoryArtifacts } from '@nearfar/coordinator';
import { artifactFiles } from '@nearfar/register';
import { describe, expect, test } from 'vitest';

async function open(path: string) {
  const artifacts = createMemoryArtifacts();
  const kept = await artifacts.write(new TextEncoder().encode('model'));
  return artifactFiles(artifacts, { [path]: kept });
}

describe('files of a registration over HTTP', () => {
  test.each([
    ['models/tiny.onnx', './models//tiny.onnx'],
    ['./a/../tiny.onnx', 'tiny.onnx'],
    ['größe + 100 %/ein "Bild"?#.png', 'größe + 100 %/ein "Bild"?#.png'],
    ['constructor', 'constructor'],
  ])('"%s" is found as "%s"', async (sent, asked) => {
    const files = await open(sent);
    expect(await files.sizeOf(asked)).toBe(5);
    expect(new TextDecoder().decode(await files.read(asked))).toBe('model');
  });

  test.each(['../tiny.onnx', '../../tiny.onnx', 'a/../../tiny.onnx', '__proto__', 'toString'])(
    'a path that leaves them, or that nobody sent, is none of them: %s',
    async (path) => {
      const files = await open('tiny.onnx');
      expect(await files.sizeOf(path)).toBeUndefined();
      await expect(files.read(path)).rejects.toMatchObject({ code: 'MESH_BAD_MANIFEST' });
    },
  );

  test('are listed by folder', async () => {
    const files = await open('./data/cat/1.png');
    expect(await files.list('data/')).toEqual(['data/cat/1.png']);
    expect(await files.list('.')).toEqual(['data/cat/1.png']);
    expect(await files.list('dat')).toEqual([]);
  });
});
