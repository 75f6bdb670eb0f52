import { type Artifact, MeshError } from '@nearfar/protocol';
import type { ArtifactSource } from '@nearfar/worker';
import { describe, expect, test } from 'vitest';
import { settled } from '../../support/worker/manual-clock.ts';
import type { RecordingLink } from '../../support/worker/recording-link.ts';
import { artifactOf, connectedWorker, variantSpec } from './builders.ts';

const SHARDS = 10;
const shard = (index: number) => Uint8Array.of(index, index + 1);
const artifacts = Array.from({ length: SHARDS }, (_, index) => artifactOf(`shard-${index}`, shard(index)));

/** A source whose downloads end when the test says so. */
class HeldDownloads implements ArtifactSource {
  readonly held: { readonly artifact: Artifact; readonly signal: AbortSignal | undefined }[] = [];
  readonly #ends: PromiseWithResolvers<Uint8Array>[] = [];

  fetch(artifact: Artifact, signal?: AbortSignal): Promise<Uint8Array> {
    const end = Promise.withResolvers<Uint8Array>();
    this.held.push({ artifact, signal });
    this.#ends.push(end);
    return end.promise;
  }

  async finish(position: number, bytes = shard(Number(this.held[position]?.artifact.path.split('-')[1]))) {
    this.#ends[position]?.resolve(bytes);
    await settled();
  }

  async fail(position: number, error: Error) {
    this.#ends[position]?.reject(error);
    await settled();
  }
}

async function loadingWorker() {
  const downloads = new HeldDownloads();
  const parts = connectedWorker({ artifacts: downloads });
  parts.link.deliver({ type: 'variant-load', spec: variantSpec({ format: 'tfjs', artifacts }) });
  await settled();
  return { ...parts, downloads };
}

const replica = (link: RecordingLink) => link.of('load-report').at(-1)?.replicas[0];

describe('the files of a variant', () => {
  test('are downloaded four at a time, and handed over in their order whichever came first', async () => {
    const { downloads, engine, link, worker } = await loadingWorker();
    expect(downloads.held).toHaveLength(4);
    await downloads.finish(3);
    expect(downloads.held).toHaveLength(5);
    for (const position of [4, 2, 5, 1, 0, 6, 7, 9, 8]) await downloads.finish(position);
    expect(replica(link)).toMatchObject({ state: 'ready' });
    const [source] = engine.loaded.values();
    const files = source?.files.map(({ path, bytes }) => [path, ...new Uint8Array(bytes)]);
    expect(files).toEqual(artifacts.map(({ path }, index) => [path, ...shard(index)]));
    await worker.close();
  });

  test('are all given up when one of them fails', async () => {
    const { clock, downloads, link, worker } = await loadingWorker();
    await downloads.fail(1, new MeshError('MESH_NETWORK', 'The mesh cannot be reached'));
    expect(replica(link)).toMatchObject({ state: 'failed', reason: expect.stringContaining('MESH_NETWORK') });
    expect(downloads.held.map(({ signal }) => signal?.aborted)).toEqual([true, true, true, true]);
    await worker.close();
    expect(clock.pending).toBe(0);
  });

  test('are each checked by their hash', async () => {
    const { downloads, engine, link, worker } = await loadingWorker();
    await downloads.finish(2, Uint8Array.of(9));
    expect(replica(link)?.reason).toMatch(/^MESH_ARTIFACT_CORRUPT: Expected "shard-2" to have SHA-256/);
    expect(engine.loaded.size).toBe(0);
    await worker.close();
  });

  test('are no longer downloaded when the variant is unloaded', async () => {
    const { downloads, link, worker } = await loadingWorker();
    const { task, variant, revision } = variantSpec();
    link.deliver({ type: 'variant-unload', task, variant, revision });
    expect(downloads.held.every(({ signal }) => signal?.aborted)).toBe(true);
    const close = worker.close();
    for (const position of downloads.held.keys()) await downloads.fail(position, new Error('aborted'));
    await close;
  });
});
