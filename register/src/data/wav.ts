import { MeshError } from '@nearfar/protocol';

/** A sound as numbers. */
export interface Sound {
  /** Samples a second. */
  readonly rate: number;
  /** One channel, −1 to 1; several are averaged. */
  readonly values: Float32Array;
}

const PCM = 1;
const FLOAT = 3;
/** The real format stands in a longer header. */
const EXTENSIBLE = 0xfffe;
/** Most channels that are averaged. */
const MAX_CHANNELS = 32;

interface Format {
  readonly encoding: number;
  readonly channels: number;
  readonly rate: number;
  readonly bits: number;
}

/**
 * Reads a WAVE file of 16-bit integers or 32-bit floats (Multimedia Programming Interface and Data Specifications 1.0, IBM &
 * Microsoft, 1991). Nothing is resampled: who needs a certain rate compares it.
 *
 * @param path the file's name for messages.
 * @throws MeshError `MESH_BAD_EVAL_DATA` when it is no such file, is cut off or holds nothing.
 */
export function readWav(file: Uint8Array, path: string): Sound {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.byteLength < 12 || tagAt(view, 0) !== 'RIFF' || tagAt(view, 8) !== 'WAVE') {
    throw bad(path, 'to be a .wav file (RIFF, WAVE)', 'something else');
  }
  let format: Format | undefined;
  for (let offset = 12; offset + 8 <= file.byteLength; ) {
    const tag = tagAt(view, offset);
    const sizeBytes = view.getUint32(offset + 4, true);
    const start = offset + 8;
    if (start + sizeBytes > file.byteLength) {
      throw bad(
        path,
        `to have ${sizeBytes} bytes in its part "${tag}"`,
        `${file.byteLength - start}; it is cut off`,
      );
    }
    if (tag === 'fmt ')
      format = readFormat(new DataView(view.buffer, view.byteOffset + start, sizeBytes), path);
    if (tag === 'data') {
      if (format === undefined) throw bad(path, 'to say its format before its data', 'no part "fmt "');
      return { rate: format.rate, values: readValues(view, start, sizeBytes, format, path) };
    }
    // Parts are filled to an even length.
    offset = start + sizeBytes + (sizeBytes % 2);
  }
  throw bad(path, 'to hold samples', 'no part "data"');
}

function readFormat(view: DataView, path: string): Format {
  if (view.byteLength < 16)
    throw bad(path, 'to have 16 bytes or more in its part "fmt "', `${view.byteLength}`);
  const tag = view.getUint16(0, true);
  const encoding = tag === EXTENSIBLE && view.byteLength >= 26 ? view.getUint16(24, true) : tag;
  const channels = view.getUint16(2, true);
  const rate = view.getUint32(4, true);
  const bits = view.getUint16(14, true);
  if (!(encoding === PCM && bits === 16) && !(encoding === FLOAT && bits === 32)) {
    throw bad(path, 'to hold 16-bit integers or 32-bit floats', `${bits} bits in encoding ${encoding}`);
  }
  if (channels < 1 || channels > MAX_CHANNELS) {
    throw bad(path, `to have 1 to ${MAX_CHANNELS} channels`, `${channels}`);
  }
  if (rate < 1) throw bad(path, 'to have a sample rate', `${rate}`);
  return { encoding, channels, rate, bits };
}

function readValues(
  view: DataView,
  start: number,
  sizeBytes: number,
  { encoding, channels, bits }: Format,
  path: string,
): Float32Array {
  const sampleBytes = bits / 8;
  const count = Math.floor(sizeBytes / (sampleBytes * channels));
  if (count === 0) throw bad(path, 'to hold samples', 'none');
  const valueAt = (offset: number) =>
    encoding === FLOAT ? view.getFloat32(offset, true) : view.getInt16(offset, true) / 32_768;
  return Float32Array.from({ length: count }, (_, index) => {
    let sum = 0;
    for (let channel = 0; channel < channels; channel += 1) {
      sum += valueAt(start + (index * channels + channel) * sampleBytes);
    }
    return sum / channels;
  });
}

function tagAt(view: DataView, offset: number): string {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + offset, 4));
}

function bad(path: string, expected: string, found: string): MeshError {
  return new MeshError('MESH_BAD_EVAL_DATA', `Expected "${path}" ${expected}, got ${found}`);
}
