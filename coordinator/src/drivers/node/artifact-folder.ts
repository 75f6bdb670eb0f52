import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ArtifactStore } from '@nearfar/core';
import { LIMITS, MeshError } from '@nearfar/protocol';
import { artifactTooLarge, otherContent } from '../memory.ts';
import { Drafts, throwNoRoom } from './drafts.ts';
import { PackedFiles } from './packed-files.ts';

/**
 * Artifacts as files named by their hash, in folders by its first two digits. A file is written in a folder of drafts and
 * moved to its place when it is whole; what a killed process left there is removed at the next opening.
 */
export function openArtifactFolder(folder: string, now: number = Date.now()): ArtifactStore {
  const drafts = new Drafts(join(folder, 'drafts'), now);
  const packedFiles = new PackedFiles(drafts);
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
    read: (sha256, start, end) => readRange(pathOf(sha256), sha256, start, end),
    write: async (content, expected) => {
      if (content instanceof Uint8Array) {
        if (content.byteLength > LIMITS.maxArtifactBytes) throw artifactTooLarge();
        const sha256 = createHash('sha256').update(content).digest('hex');
        if (expected !== undefined && expected !== sha256) throw otherContent(expected, sha256);
        const sizeBytes = content.byteLength;
        if ((await sizeOf(sha256)) === sizeBytes) return { sha256, sizeBytes };
      }
      const draft = await drafts.write(content);
      try {
        const { sha256, sizeBytes } = draft;
        if (expected !== undefined && expected !== sha256) throw otherContent(expected, sha256);
        const path = pathOf(sha256);
        await mkdir(dirname(path), { recursive: true });
        await rename(draft.path, path);
        return { sha256, sizeBytes };
      } catch (error) {
        await rm(draft.path, { force: true });
        return throwNoRoom(error);
      }
    },
    packed: async (sha256, encodings) => {
      const sizeBytes = await sizeOf(sha256);
      const [encoding] = encodings;
      if (sizeBytes === undefined || encoding === undefined) return undefined;
      const found = await packedFiles.find(pathOf(sha256), sizeBytes, encoding);
      if (found === undefined) return undefined;
      const read = (start: number, end: number) => readRange(found.path, sha256, start, end);
      return { encoding, sizeBytes: found.sizeBytes, read };
    },
    delete: async (sha256) => {
      if ((await sizeOf(sha256)) === undefined) return;
      await rm(pathOf(sha256), { force: true });
      await packedFiles.delete(pathOf(sha256));
    },
    close: async () => {
      await packedFiles.close();
      await drafts.close();
    },
  };
}

async function readRange(path: string, sha256: string, start = 0, end?: number): Promise<Uint8Array> {
  const file = await open(path).catch((error: unknown) => {
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
}

function unknown(sha256: string): MeshError {
  return new MeshError('MESH_UNKNOWN_ARTIFACT', `Unknown artifact "${sha256.slice(0, 64)}"`);
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === 'ENOENT';
}
