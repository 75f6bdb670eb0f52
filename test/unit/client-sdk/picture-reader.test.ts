import { float32Values, type ImagePreprocess, MeshError } from '@nearfar/protocol';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PictureReader } from '../../../client-sdk/src/picture-reader.ts';
import { rowsOf } from './builders.ts';

const RULE: ImagePreprocess = {
  kind: 'image',
  input: 'x',
  width: 1,
  height: 1,
  channels: 'grayscale',
  layout: 'NCHW',
  invert: 'never',
  center: 'box',
  mean: [0],
  std: [1],
};

/** Pixels as a canvas gives them; Node has no such class. */
class Pixels {
  readonly width = 1;
  readonly height = 1;
  readonly data = Uint8ClampedArray.of(255, 255, 255, 255);
}

beforeEach(() => {
  vi.stubGlobal('ImageData', Pixels);
});

afterEach(() => {
  vi.unstubAllGlobals();
});

const white = () => new Pixels() as unknown as ImageData;
const signal = new AbortController().signal;

describe('reading a picture', () => {
  test('happens in the worker once that has answered', async () => {
    const asked: string[] = [];
    const reader = new PictureReader({
      wake: async () => void asked.push('wake'),
      picture: async () => {
        asked.push('picture');
        return [rowsOf('x', 7, 7)];
      },
    });
    await reader.read(white(), RULE, signal);
    expect(await reader.read(white(), RULE, signal)).toEqual([rowsOf('x', 7, 7)]);
    expect(asked).toEqual(['wake', 'picture', 'picture']);
  });

  test('happens on the page when the worker cannot be loaded, which is tried once', async () => {
    let wakes = 0;
    const reader = new PictureReader({
      wake: async () => {
        wakes += 1;
        throw new MeshError('MESH_EXECUTION_FAILED', 'The engine gave up: its worker could not be loaded');
      },
      picture: () => Promise.reject(new Error('Expected no picture to be sent')),
    });
    const both = await Promise.all([reader.read(white(), RULE, signal), reader.read(white(), RULE, signal)]);
    for (const [tensor] of both) {
      expect(tensor).toMatchObject({ name: 'x', shape: [1, 1, 1, 1] });
      if (tensor !== undefined) expect([...float32Values(tensor)]).toEqual([1]);
    }
    expect(wakes).toBe(1);
  });

  test('an abort does not wait for the worker', async () => {
    const caller = new AbortController();
    const reader = new PictureReader({
      wake: () => new Promise<never>(() => undefined),
      picture: () => Promise.reject(new Error('Expected no picture to be sent')),
    });
    const read = reader.read(white(), RULE, caller.signal);
    caller.abort(new Error('gone'));
    await expect(read).rejects.toThrow('gone');
  });
});
