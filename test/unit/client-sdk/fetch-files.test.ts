import { type Artifact, MeshError } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import type { ArtifactRequest, CachedFile } from '../../../client-sdk/src/artifact-cache.ts';
import { fetchFiles } from '../../../client-sdk/src/fetch-files.ts';
import { artifactOf } from './builders.ts';

interface Asked {
  readonly artifact: Artifact;
  readonly request: ArtifactRequest;
  readonly answer: PromiseWithResolvers<CachedFile>;
}

/** A cache whose files arrive when the test lets them. */
function handCache() {
  const asked: Asked[] = [];
  return {
    asked,
    get(artifact: Artifact, request: ArtifactRequest = {}): Promise<CachedFile> {
      const answer = Promise.withResolvers<CachedFile>();
      request.signal?.addEventListener('abort', () => answer.reject(request.signal?.reason));
      asked.push({ artifact, request, answer });
      return answer.promise;
    },
  };
}

const fileOf = ({ sizeBytes }: Artifact): CachedFile => ({
  bytes: new Uint8Array(sizeBytes),
  isDownloaded: true,
});
const shards = Array.from({ length: 20 }, (_, index) =>
  artifactOf(new Uint8Array(index + 1), `shard${index}`),
);
const { signal } = new AbortController();

describe('the files of a variant', () => {
  test('are fetched six at a time and given in their order, whichever comes first', async () => {
    const cache = handCache();
    const fetched = fetchFiles(cache, shards, signal, () => undefined);
    let most = 0;
    const waiting = new Set<Asked>();
    for (let done = 0; done < shards.length; done += 1) {
      for (const asked of cache.asked.slice(done + waiting.size)) waiting.add(asked);
      most = Math.max(most, waiting.size);
      // The one that was asked for last arrives first.
      const last = [...waiting].at(-1);
      if (last === undefined) throw new Error('Expected a file to be under way');
      waiting.delete(last);
      last.answer.resolve(fileOf(last.artifact));
      await new Promise((turn) => setImmediate(turn));
    }
    expect(most).toBe(6);
    expect((await fetched).map(({ bytes }) => bytes.byteLength)).toEqual(
      shards.map(({ sizeBytes }) => sizeBytes),
    );
  });

  test('count together as they arrive', async () => {
    const cache = handCache();
    const loaded: number[] = [];
    const fetched = fetchFiles(cache, shards.slice(4, 6), signal, (bytes) => loaded.push(bytes));
    const [first, second] = cache.asked;
    first?.request.onLoaded?.(2);
    second?.request.onLoaded?.(6);
    first?.request.onLoaded?.(5);
    for (const { artifact, answer } of cache.asked) answer.resolve(fileOf(artifact));
    await fetched;
    expect(loaded).toEqual([2, 8, 11]);
  });

  test('are given up when one of them fails, and tell nothing after that', async () => {
    const cache = handCache();
    const loaded: number[] = [];
    const fetched = fetchFiles(cache, shards, signal, (bytes) => loaded.push(bytes));
    cache.asked[2]?.answer.reject(new MeshError('MESH_ARTIFACT_CORRUPT', 'broken'));
    await expect(fetched).rejects.toMatchObject({ code: 'MESH_ARTIFACT_CORRUPT' });
    expect(cache.asked).toHaveLength(6);
    for (const { request } of cache.asked) {
      expect(request.signal?.aborted).toBe(true);
      request.onLoaded?.(1);
    }
    expect(loaded).toEqual([]);
  });

  test('end with the reason of the caller', async () => {
    const cache = handCache();
    const caller = new AbortController();
    const fetched = fetchFiles(cache, shards, caller.signal, () => undefined);
    caller.abort(new Error('page left'));
    await expect(fetched).rejects.toThrow('page left');
  });

  test('may be none', async () => {
    expect(await fetchFiles(handCache(), [], signal, () => undefined)).toEqual([]);
  });
});
