import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ArtifactStore } from '@nearfar/core';
import { LIMITS, MeshError } from '@nearfar/protocol';

/** Artifacts as files named by their hash, in folders by its first two digits. */
export function openArtifactFolder(folder: string): ArtifactStore {
  const pathOf = (sha256: string) => {
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw unknown(sha256);
    return join(folder, sha256.slice(0, 2), sha256);
  };
  const sizeOf = async (sha256: string) => {
    try {
      return (await stat(pathOf(sha256))).size;
    } catch (error) {
      if (isMissing(error) || error instanceof MeshError) return undefined;
      throw error;
    }
  };
  return {
    sizeOf,
    read: async (sha256, start = 0, end) => {
      const file = await open(pathOf(sha256)).catch((error: unknown) => {
        throw isMissing(error) ? unknown(sha256) : error;
      });
      try {
        const stop = Math.min(end ?? Number.POSITIVE_INFINITY, (await file.stat()).size);
        const bytes = new Uint8Array(Math.max(0, stop - start));
        let filled = 0;
        while (filled < bytes.byteLength) {
          const { bytesRead } = await file.read(bytes, filled, bytes.byteLength - filled, start + filled);
          if (bytesRead === 0) throw new MeshError('MESH_ARTIFACT_CORRUPT', `Artifact ${sha256} is cut off`);
          filled += bytesRead;
        }
        return bytes;
      } finally {
        await file.close();
      }
    },
    write: async (bytes) => {
      if (bytes.byteLength > LIMITS.maxArtifactBytes) {
        throw new MeshError(
          'MESH_BODY_TOO_LARGE',
          `Expected an artifact of at most ${LIMITS.maxArtifactBytes} bytes, got ${bytes.byteLength}`,
        );
      }
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const path = pathOf(sha256);
      if ((await sizeOf(sha256)) !== bytes.byteLength) await writeAtomically(path, bytes);
      return { sha256, sizeBytes: bytes.byteLength };
    },
    close: async () => {},
  };
}

async function writeAtomically(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, bytes, { flush: true });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

function unknown(sha256: string): MeshError {
  return new MeshError('MESH_UNKNOWN_ARTIFACT', `Unknown artifact "${sha256.slice(0, 64)}"`);
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === 'ENOENT';
}
