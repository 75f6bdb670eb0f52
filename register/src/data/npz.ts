import { MeshError, type Tensor } from '@nearfar/protocol';
import { Unzip, UnzipPassThrough } from 'fflate';
import { readNpy } from './npy.ts';
import { inflateExactly, inflateUpTo, MAX_UNPACKED_BYTES } from './unpack.ts';

/** The arrays of a `.npz` file. */
export interface NpzFile {
  /** In the order of the file. */
  readonly names: readonly string[];
  /**
   * Unpacks one array; undefined when there is none of that name.
   *
   * @throws MeshError `MESH_BAD_EVAL_DATA` when it is damaged, or too large together with those read before.
   */
  read(name: string): Tensor | undefined;
}

/** Most files in the archive. */
const MAX_ENTRIES = 256;
/** DEFLATE gives at most this many bytes for one: 258 for two bits and a little (RFC 1951). */
const LARGEST_RATIO = 1_032;
const STORED = 0;
const DEFLATED = 8;
/** "PK", with which a zip file begins. */
const ZIP = [0x50, 0x4b] as const;

/** A file of the archive, still packed. */
interface Entry {
  readonly compression: number;
  readonly packed: Uint8Array;
  /** As the archive says; undefined where it says nothing before the data. */
  readonly sizeBytes: number | undefined;
}

/** Hands packed data through: they are unpacked elsewhere, when they are asked for, by a library that stops at a bound. */
class PackedData extends UnzipPassThrough {
  static override compression = DEFLATED;
}

/**
 * Opens a `.npz` file, as `numpy.savez` and `savez_compressed` write it. Nothing is unpacked before it is asked for, and then
 * no further than the size that the archive says, of which all together are at most `maxBytes`.
 *
 * @param what the file's name for messages.
 * @throws MeshError `MESH_BAD_EVAL_DATA` when it is no zip file, is cut off, or holds too many entries, none that is an
 *   array, or two of one name.
 */
export function openNpz(file: Uint8Array, what: string, maxBytes = MAX_UNPACKED_BYTES): NpzFile {
  const entries = readEntries(file, what);
  let unpackedBytes = 0;
  return {
    names: [...entries.keys()],
    read: (name) => {
      const entry = entries.get(name);
      if (entry === undefined) return undefined;
      const bytes = unpack(entry, maxBytes - unpackedBytes, `array "${name}" in ${what}`);
      unpackedBytes += bytes.byteLength;
      return readNpy(bytes, name);
    },
  };
}

function readEntries(file: Uint8Array, what: string): Map<string, Entry> {
  if (!ZIP.every((byte, index) => file[index] === byte)) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to be a .npz file, as numpy.savez writes it, got something else`,
    );
  }
  const entries = new Map<string, Entry>();
  let count = 0;
  const archive = new Unzip((entry) => {
    count += 1;
    if (count > MAX_ENTRIES) {
      throw new MeshError('MESH_BAD_EVAL_DATA', `Expected at most ${MAX_ENTRIES} files in ${what}, got more`);
    }
    if (!entry.name.endsWith('.npy')) return;
    const name = entry.name.slice(0, -'.npy'.length);
    if (entries.has(name)) {
      throw new MeshError('MESH_BAD_EVAL_DATA', `Expected array "${name}" once in ${what}, got it again`);
    }
    const { compression } = entry;
    if (compression !== STORED && compression !== DEFLATED) {
      throw new MeshError(
        'MESH_BAD_EVAL_DATA',
        `Expected array "${name}" in ${what} to be stored or deflated, got compression method ${compression}`,
      );
    }
    const parts: Uint8Array[] = [];
    entry.ondata = (_, part, isLast) => {
      parts.push(part);
      if (isLast) entries.set(name, { compression, packed: joined(parts), sizeBytes: entry.originalSize });
    };
    entry.start();
  });
  archive.register(PackedData);
  try {
    archive.push(file, true);
  } catch (cause) {
    if (cause instanceof MeshError) throw cause;
    throw new MeshError('MESH_BAD_EVAL_DATA', `${what} is damaged or cut off: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (entries.size === 0) {
    throw new MeshError('MESH_BAD_EVAL_DATA', `Expected ${what} to hold arrays (.npy), found none`);
  }
  return entries;
}

function unpack({ compression, packed, sizeBytes }: Entry, leftBytes: number, what: string): Uint8Array {
  const largestBytes = compression === STORED ? packed.byteLength : packed.byteLength * LARGEST_RATIO;
  const size = sizeBytes ?? Math.min(leftBytes, largestBytes);
  if (size > leftBytes) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to unpack to at most ${leftBytes} bytes, its header says ${size}; use a part of the data`,
    );
  }
  if (size > largestBytes || (compression === STORED && size !== packed.byteLength)) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to unpack to ${size} bytes, as its header says, but ${packed.byteLength} packed bytes cannot`,
    );
  }
  if (compression === STORED) return packed;
  return sizeBytes === undefined ? inflateUpTo(packed, size, what) : inflateExactly(packed, size, what);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const filled = parts.filter((part) => part.byteLength > 0);
  const [only] = filled;
  if (only !== undefined && filled.length === 1) return only;
  const whole = new Uint8Array(filled.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of filled) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}
