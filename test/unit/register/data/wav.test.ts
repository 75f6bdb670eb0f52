import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readWav } from '../../../../register/src/data/wav.ts';
import { badData } from './builders.ts';

interface WavFacts {
  readonly encoding?: number;
  readonly channels?: number;
  readonly rate?: number;
  readonly bits?: number;
  /** Parts before the format. */
  readonly before?: Uint8Array;
  /** Bytes of the format after the first 16. */
  readonly extension?: Uint8Array;
}

function part(tag: string, data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(8);
  header.write(tag, 'latin1');
  header.writeUInt32LE(data.byteLength, 4);
  return Buffer.concat([header, data, new Uint8Array(data.byteLength % 2)]);
}

function wav(
  samples: ArrayBufferView,
  { encoding = 1, channels = 1, rate = 16_000, bits = 16, before, extension }: WavFacts = {},
): Uint8Array {
  const format = Buffer.alloc(16);
  format.writeUInt16LE(encoding, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt16LE(bits, 14);
  const data = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  const parts = [
    ...(before === undefined ? [] : [before]),
    part('fmt ', Buffer.concat([format, extension ?? new Uint8Array()])),
    part('data', data),
  ];
  const whole = Buffer.concat([Buffer.from('WAVE'), ...parts]);
  return new Uint8Array(part('RIFF', whole));
}

describe('.wav', () => {
  test('of 16-bit integers is from −1 to below 1', () => {
    expect(readWav(wav(Int16Array.of(-32_768, 0, 16_384)), 'a.wav')).toEqual({
      rate: 16_000,
      values: Float32Array.of(-1, 0, 0.5),
    });
  });

  test('of floats is as it is', () => {
    const file = wav(Float32Array.of(0.25, -0.75), { encoding: 3, bits: 32, rate: 48_000 });
    expect(readWav(file, 'a.wav')).toEqual({ rate: 48_000, values: Float32Array.of(0.25, -0.75) });
  });

  test('of several channels is their mean; a frame that is cut off is left out', () => {
    const file = wav(Int16Array.of(16_384, 0, -16_384, -16_384, 5), { channels: 2 });
    expect(readWav(file, 'a.wav').values).toEqual(Float32Array.of(0.25, -0.5));
  });

  test('may have other parts, of odd length too, and a longer format', () => {
    // cbSize, valid bits, channel mask, then the real encoding at the start of a GUID.
    const extension = Uint8Array.of(
      22,
      0,
      16,
      0,
      0,
      0,
      0,
      0,
      1,
      0,
      0,
      0,
      0,
      0,
      16,
      0,
      128,
      0,
      0,
      170,
      0,
      56,
      155,
      113,
    );
    const file = wav(Int16Array.of(16_384), {
      encoding: 0xfffe,
      extension,
      before: part('LIST', Buffer.from('abc')),
    });
    expect(readWav(file, 'a.wav').values).toEqual(Float32Array.of(0.5));
  });

  const good = wav(Int16Array.of(1, 2, 3));
  test.each([
    ['something else', Buffer.from('OggS and more bytes'), 'Expected "a.wav" to be a .wav file (RIFF, WAVE)'],
    ['an empty file', new Uint8Array(), 'to be a .wav file'],
    [
      '8 bits',
      wav(new Uint8Array(2), { bits: 8 }),
      'to hold 16-bit integers or 32-bit floats, got 8 bits in encoding 1',
    ],
    ['another encoding', wav(new Uint8Array(2), { encoding: 7 }), 'got 16 bits in encoding 7'],
    ['no channels', wav(new Uint8Array(2), { channels: 0 }), 'to have 1 to 32 channels, got 0'],
    ['no rate', wav(new Uint8Array(2), { rate: 0 }), 'to have a sample rate, got 0'],
    ['no samples', wav(new Int16Array()), 'to hold samples, got none'],
    [
      'a file that is cut off',
      good.subarray(0, -2),
      'to have 6 bytes in its part "data", got 4; it is cut off',
    ],
    ['no data', good.subarray(0, 36), 'to hold samples, got no part "data"'],
    [
      'data before the format',
      part('RIFF', Buffer.concat([Buffer.from('WAVE'), part('data', new Uint8Array(2))])),
      'got no part "fmt "',
    ],
    [
      'a short format',
      part('RIFF', Buffer.concat([Buffer.from('WAVE'), part('fmt ', new Uint8Array(4))])),
      'to have 16 bytes or more in its part "fmt ", got 4',
    ],
  ])('%s is refused', (_, file, message) => {
    expect(() => readWav(file, 'a.wav')).toThrow(badData(message));
  });

  test('any damage gives samples or the error for bad data', () => {
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (offset, byte, end) => {
        const file = good
          .slice()
          .fill(byte, offset, offset + 1)
          .subarray(0, end);
        try {
          expect(readWav(file, 'a.wav').values.length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toMatchObject({ code: 'MESH_BAD_EVAL_DATA' });
        }
      }),
      { numRuns: 500 },
    );
  });
});
