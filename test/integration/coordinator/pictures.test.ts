import type { PictureReader } from '@nearfar/coordinator';
import { float32Values, type ImagePreprocess } from '@nearfar/protocol';
import { encode as encodePng } from 'fast-png';
import { afterEach, describe, expect, test } from 'vitest';
import {
  createPictureThread,
  type PictureThreadOptions,
} from '../../../coordinator/src/drivers/node/picture-thread.ts';

/** Pictures that may wait besides the one in the thread. */
const PLACES = 64;

const rule: ImagePreprocess = {
  kind: 'image',
  input: 'image',
  width: 2,
  height: 2,
  channels: 'grayscale',
  layout: 'NCHW',
  invert: 'never',
  center: 'box',
  mean: [0],
  std: [1],
};

const small = encodePng({ width: 2, height: 2, channels: 1, depth: 8, data: Uint8Array.of(0, 51, 102, 255) });
const smallValues = [0, 0.2, 0.4, 1].map((value) => Math.fround(value));

describe('the picture thread', () => {
  const readers: PictureReader[] = [];
  afterEach(async () => {
    await Promise.all(readers.splice(0).map((reader) => reader.close()));
  });

  function open(options?: PictureThreadOptions) {
    const reader = createPictureThread(options);
    readers.push(reader);
    const read = async (body: Uint8Array, contentType = 'image/png', signal?: AbortSignal) =>
      Array.from(float32Values(await reader.toTensor(body, contentType, rule, signal)));
    return { reader, read };
  }

  test('reads pictures in the order of the calls, and refuses what is none', async () => {
    const { read } = open();
    const order: string[] = [];
    const note = (name: string) => () => order.push(name);
    const first = read(small);
    const second = read(Uint8Array.of(1, 2, 3));
    const third = read(small);
    void first.then(note('first'));
    void second.catch(note('second'));
    void third.then(note('third'));
    await expect(second).rejects.toMatchObject({ code: 'MESH_BAD_MEDIA' });
    expect(await third).toEqual(smallValues);
    expect(order).toEqual(['first', 'second', 'third']);
  });

  test('a waiting picture that is aborted frees its place and is never decoded', async () => {
    // A watchdog that outlasts the test: only a picture that is not decoded at all lets the next one through.
    const { read } = open({ decodeWithinMs: 600_000 });
    const abort = new AbortController();
    const inThread = read(small);
    const aborted = read(endlessJpeg(), 'image/jpeg', abort.signal);
    const others = Array.from({ length: PLACES - 1 }, () => read(small));
    await expect(read(small)).rejects.toMatchObject({ code: 'MESH_QUEUE_FULL' });
    abort.abort(new Error('the caller left'));
    await expect(aborted).rejects.toThrow('the caller left');
    const last = read(small);
    for (const values of await Promise.all([inThread, ...others, last])) expect(values).toEqual(smallValues);
  });

  test('a picture that takes too long fails alone; the next one gets a new thread and all of its time', async () => {
    const { read } = open({ decodeWithinMs: 3_000 });
    const stuck = [read(endlessJpeg(), 'image/jpeg'), read(endlessJpeg(), 'image/jpeg')];
    const next = read(small);
    for (const result of await Promise.allSettled(stuck)) {
      expect(result).toMatchObject({
        status: 'rejected',
        reason: { message: 'The picture was not decoded within 3000 ms' },
      });
    }
    expect(await next).toEqual(smallValues);
  });

  test('a crash of the thread fails only the picture that it had', async () => {
    const { read } = open();
    // What cannot be turned into text escapes the thread's own handling of errors.
    const crashing = read(small, { toString: null } as never);
    const next = read(small);
    await expect(crashing).rejects.toMatchObject({ code: 'MESH_INTERNAL' });
    expect(await next).toEqual(smallValues);
  });

  test('close rejects the picture in the thread and the waiting ones, and may be called twice', async () => {
    const { reader, read } = open();
    const pictures = [read(endlessJpeg(), 'image/jpeg'), read(small), read(small)];
    const settled = Promise.allSettled(pictures);
    await Promise.all([reader.close(), reader.close()]);
    for (const result of await settled) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'MESH_DRAINING' } });
    }
    await expect(read(small)).rejects.toMatchObject({ code: 'MESH_DRAINING' });
  });

  test('a signal that has aborted before is refused at once', async () => {
    const { read } = open();
    await expect(read(small, 'image/png', AbortSignal.abort(new Error('too late')))).rejects.toThrow(
      'too late',
    );
  });

  test('refuses a time to decode that is none', () => {
    expect(() => createPictureThread({ decodeWithinMs: 0 })).toThrow(RangeError);
  });
});

/**
 * A valid progressive JPEG of 2048 × 2048 grey pixels and 600 KB that takes minutes to decode: each of its scans says in
 * a few bytes that nothing changes in any of its 65,536 blocks, and the decoder visits all of them each time.
 */
function endlessJpeg(): Uint8Array {
  const segment = (marker: number, data: readonly number[]) => [0xff, marker, 0, data.length + 2, ...data];
  const oneCodeOfOneBit = [1, ...Array<number>(15).fill(0)];
  // Symbol 0xe0: a run of 2^14 blocks without coefficients, followed by 14 bits of further blocks. Four fill the picture.
  const scan = [...segment(0xda, [1, 1, 0, 1, 63, 0]), ...Array<number>(8).fill(0)];
  return Uint8Array.from([
    ...[0xff, 0xd8],
    ...segment(0xdb, [0, ...Array<number>(64).fill(1)]),
    ...segment(0xc2, [8, 8, 0, 8, 0, 1, 1, 0x11, 0]),
    ...segment(0xc4, [0x10, ...oneCodeOfOneBit, 0xe0]),
    ...Array<number[]>(30_000).fill(scan).flat(),
    ...[0xff, 0xd9],
  ]);
}
