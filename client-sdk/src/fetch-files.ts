import type { Artifact } from '@nearfar/protocol';
import type { ArtifactCache, CachedFile } from './artifact-cache.ts';

/** Files that are fetched at the same time: what browsers open to one host over HTTP/1.1. */
const AT_ONCE = 6;

/**
 * Fetches files, several at a time since a tfjs model may come in dozens of small ones; gives them in the order of
 * `artifacts`. When one fails, the others are given up.
 *
 * @param onLoaded gets the bytes that are here of all of them; never fewer than before, and none after the end.
 */
export async function fetchFiles(
  cache: Pick<ArtifactCache, 'get'>,
  artifacts: readonly Artifact[],
  signal: AbortSignal,
  onLoaded: (loadedBytes: number) => void,
): Promise<CachedFile[]> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const files: CachedFile[] = [];
  const loadedBytes = artifacts.map(() => 0);
  const remaining = [...artifacts.entries()];
  const fetchNext = async (): Promise<void> => {
    for (let next = remaining.shift(); next !== undefined; next = remaining.shift()) {
      const [index, artifact] = next;
      files[index] = await cache.get(artifact, {
        signal: either,
        onLoaded: (bytes) => {
          if (either.aborted) return;
          loadedBytes[index] = bytes;
          onLoaded(loadedBytes.reduce((sum, part) => sum + part, 0));
        },
      });
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, fetchNext));
  } catch (error) {
    stop.abort(error);
    throw error;
  }
  return files;
}
