import { constants, gunzipSync, inflateRawSync, type ZlibOptions } from 'node:zlib';
import { LIMITS, MeshError } from '@nearfar/protocol';

/** Largest array or IDX file after unpacking, in bytes. */
export const MAX_UNPACKED_BYTES = LIMITS.maxArtifactBytes;

/** Packed bytes that are enough to see the first bytes of a gzip file. They unpack to at most 4.3 MB. */
const HEAD_BYTES = 4_096;
const LARGEST_PIECE_BYTES = 1024 * 1024;

/** The first bytes of a gzip file, after unpacking; as many as `HEAD_BYTES` of it give. */
export function gunzipHead(packed: Uint8Array, what: string): Uint8Array {
  return guarded(what, () =>
    // A sync flush makes the end of the piece no error.
    gunzipSync(packed.subarray(0, HEAD_BYTES), { finishFlush: constants.Z_SYNC_FLUSH }),
  );
}

/** A whole gzip file that has to unpack to `sizeBytes`; stops as soon as there is more. */
export function gunzipExactly(packed: Uint8Array, sizeBytes: number, what: string): Uint8Array {
  return checkSize(
    guarded(what, () => gunzipSync(packed, bound(sizeBytes))),
    sizeBytes,
    what,
  );
}

/** A DEFLATE stream that has to unpack to `sizeBytes`; stops as soon as there is more. */
export function inflateExactly(packed: Uint8Array, sizeBytes: number, what: string): Uint8Array {
  return checkSize(inflateUpTo(packed, sizeBytes, what), sizeBytes, what);
}

/** A DEFLATE stream that may unpack to `maxBytes`; stops as soon as there is more. */
export function inflateUpTo(packed: Uint8Array, maxBytes: number, what: string): Uint8Array {
  return guarded(what, () => inflateRawSync(packed, bound(maxBytes)));
}

function bound(maxBytes: number): ZlibOptions {
  return {
    maxOutputLength: Math.max(1, maxBytes),
    chunkSize: Math.min(LARGEST_PIECE_BYTES, Math.max(64, maxBytes)),
  };
}

function guarded(what: string, unpack: () => Uint8Array): Uint8Array {
  try {
    const { buffer, byteOffset, byteLength } = unpack();
    return new Uint8Array(buffer, byteOffset, byteLength);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const problem =
      code === 'ERR_BUFFER_TOO_LARGE'
        ? 'unpacks to more bytes than its header says'
        : `is damaged or cut off: ${message}`;
    throw new MeshError('MESH_BAD_EVAL_DATA', `The data of ${what} ${problem}`, { cause });
  }
}

function checkSize(unpacked: Uint8Array, sizeBytes: number, what: string): Uint8Array {
  if (unpacked.byteLength === sizeBytes) return unpacked;
  throw new MeshError(
    'MESH_BAD_EVAL_DATA',
    `Expected the data of ${what} to unpack to ${sizeBytes} bytes, as its header says, got ${unpacked.byteLength}`,
  );
}
