import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Artifact, MeshError } from '@nearfar/protocol';
import type { ModelFile } from './engine-messages.ts';

/** Where a worker gets a variant's files. Need not check them: the worker does, by hash. */
export interface ArtifactSource {
  fetch(artifact: Artifact, signal?: AbortSignal): Promise<Uint8Array>;
}

/** Downloads of one variant that are under way at the same time. */
const LANES = 4;
/** Bytes that are hashed or copied in one turn of the event loop, about 0.1 ms: requests go on in between. */
const BYTES_PER_TURN = 128 * 1024;

/**
 * Downloads one file and checks its hash.
 *
 * @throws MeshError `MESH_ARTIFACT_CORRUPT`, or whatever the source rejects with.
 */
export async function download(
  source: ArtifactSource,
  artifact: Artifact,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = await source.fetch(artifact, signal);
  const hash = createHash('sha256');
  for await (const start of turns(bytes.byteLength)) {
    hash.update(bytes.subarray(start, start + BYTES_PER_TURN));
  }
  const sha256 = hash.digest('hex');
  if (sha256 === artifact.sha256) return bytes;
  throw new MeshError(
    'MESH_ARTIFACT_CORRUPT',
    `Expected "${artifact.path}" to have SHA-256 ${artifact.sha256}, got ${sha256}`,
  );
}

/** Downloads the files of a variant, in their order, into memory that threads share. The first failure ends the others. */
export async function downloadModel(
  source: ArtifactSource,
  artifacts: readonly Artifact[],
  signal: AbortSignal,
): Promise<ModelFile[]> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const waiting = [...artifacts.entries()];
  const files: ModelFile[] = [];
  const lane = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, artifact] = next;
      files[index] = { path: artifact.path, bytes: await shared(await download(source, artifact, either)) };
    }
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
  } catch (error) {
    waiting.length = 0;
    failed.abort(error);
    throw error;
  }
  return files;
}

async function shared(bytes: Uint8Array): Promise<SharedArrayBuffer> {
  const buffer = new SharedArrayBuffer(bytes.byteLength);
  const copy = new Uint8Array(buffer);
  for await (const start of turns(bytes.byteLength)) {
    copy.set(bytes.subarray(start, start + BYTES_PER_TURN), start);
  }
  return buffer;
}

/** Where each piece of so many bytes starts; between two of them other work of this thread has its turn. */
async function* turns(byteLength: number): AsyncGenerator<number> {
  for (let start = 0; start < byteLength; start += BYTES_PER_TURN) {
    if (start > 0) await nextTurn();
    yield start;
  }
}
