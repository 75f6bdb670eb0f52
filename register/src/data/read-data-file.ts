import { LIMITS, MeshError } from '@nearfar/protocol';
import type { SourceFiles } from '../source-files.ts';

/** Reads a file of data, after a look at its size. @throws MeshError `MESH_BAD_EVAL_DATA` when it is not there or too large. */
export async function readDataFile(
  files: SourceFiles,
  path: string,
  maxBytes: number = LIMITS.maxArtifactBytes,
): Promise<Uint8Array> {
  const sizeBytes = await files.sizeOf(path);
  if (sizeBytes === undefined) {
    throw new MeshError('MESH_BAD_EVAL_DATA', `Expected a file at "${path}", found none`);
  }
  if (sizeBytes > maxBytes) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected "${path}" to have at most ${maxBytes} bytes, got ${sizeBytes}; use a part of the data`,
    );
  }
  const { buffer, byteOffset, byteLength } = await files.read(path);
  // Node's readers give a Buffer, whose `slice` shares memory where that of a Uint8Array copies.
  return new Uint8Array(buffer, byteOffset, byteLength);
}
