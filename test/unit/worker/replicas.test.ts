import { MeshError } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { settled } from '../../support/worker/manual-clock.ts';
import type { RecordingLink } from '../../support/worker/recording-link.ts';
import { connectedWorker, MODEL, variantSpec } from './builders.ts';

/** A source that answers with what `next` holds and counts how often it is asked. */
class Downloads {
  next: () => Uint8Array = () => MODEL;
  count = 0;

  fetch(): Promise<Uint8Array> {
    this.count += 1;
    return Promise.resolve().then(() => this.next());
  }
}

const unreachable = () => {
  throw new MeshError('MESH_NETWORK', 'The mesh cannot be reached');
};

const lastReplica = (link: RecordingLink) => link.of('load-report').at(-1)?.replicas[0];

/** A worker that was asked for a variant of which the first download ended as `first` says. */
async function failedWorker(first: () => Uint8Array) {
  const downloads = new Downloads();
  downloads.next = first;
  const parts = connectedWorker({ artifacts: downloads });
  parts.link.deliver({ type: 'variant-load', spec: variantSpec() });
  await settled();
  return { ...parts, downloads };
}

describe('a variant whose download fails', () => {
  test('is tried again after 1 s, 2 s and so on up to a minute', async () => {
    const { clock, downloads, link, worker } = await failedWorker(unreachable);
    expect(lastReplica(link)).toMatchObject({
      state: 'failed',
      reason: expect.stringMatching('MESH_NETWORK'),
    });
    for (const [retry, seconds] of [1, 2, 4, 8, 16, 32, 60, 60].entries()) {
      await clock.advance(seconds * 1_000 - 1);
      expect(downloads.count).toBe(1 + retry);
      await clock.advance(1);
      expect(downloads.count).toBe(2 + retry);
    }
    await worker.close();
  });

  test.each([
    ['the network', unreachable],
    ['wrong bytes', () => new Uint8Array([1, 2])],
    [
      'an artifact that is not there yet',
      () => {
        throw new MeshError('MESH_UNKNOWN_ARTIFACT', 'Unknown artifact');
      },
    ],
  ])('is ready once %s is no longer in the way', async (_what, first) => {
    const { clock, downloads, link, worker } = await failedWorker(first);
    expect(lastReplica(link)?.state).toBe('failed');
    downloads.next = () => MODEL;
    await clock.advance(1_000);
    expect(lastReplica(link)).toMatchObject({ state: 'ready' });
    expect(lastReplica(link)).not.toHaveProperty('reason');
    await worker.close();
  });

  test('is left alone once it is unloaded', async () => {
    const { clock, downloads, link, worker } = await failedWorker(unreachable);
    const { task, variant, revision } = variantSpec();
    link.deliver({ type: 'variant-unload', task, variant, revision });
    await clock.advance(120_000);
    expect(downloads.count).toBe(1);
    await worker.close();
  });

  test('is tried at once, and once only, when the mesh asks for it again', async () => {
    const { clock, downloads, link, worker } = await failedWorker(unreachable);
    downloads.next = () => MODEL;
    link.deliver({ type: 'variant-load', spec: variantSpec() });
    await settled();
    expect(lastReplica(link)?.state).toBe('ready');
    await clock.advance(120_000);
    expect(downloads.count).toBe(2);
    await worker.close();
  });

  test('leaves no timer behind when the worker closes', async () => {
    const { clock, worker } = await failedWorker(unreachable);
    await worker.close();
    expect(clock.pending).toBe(0);
  });
});

test('a variant that does not load is not tried again', async () => {
  const downloads = new Downloads();
  const { clock, engine, link, worker } = connectedWorker({ artifacts: downloads });
  engine.load = () => Promise.reject(new MeshError('MESH_EXECUTION_FAILED', 'no such operator'));
  link.deliver({ type: 'variant-load', spec: variantSpec() });
  await clock.advance(120_000);
  expect(lastReplica(link)?.state).toBe('failed');
  expect(downloads.count).toBe(1);
  await worker.close();
});
