import { type Lease, MeshError, type PlacementRequest } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { type DeviceReport, Leases } from '../../../client-sdk/src/lease.ts';
import { NetworkMeter } from '../../../client-sdk/src/network.ts';
import { settled } from '../../support/worker/manual-clock.ts';
import { HandClock, lease } from './builders.ts';

interface Ask {
  readonly request: PlacementRequest;
  readonly signal: AbortSignal | undefined;
  readonly grant: (lease: Lease) => void;
  readonly fail: (error: unknown) => void;
}

/** Leases over a mesh that answers when the test says so. */
class HandMesh {
  readonly clock = new HandClock();
  readonly network = new NetworkMeter();
  readonly asks: Ask[] = [];
  readonly closing = new AbortController();
  device: DeviceReport | undefined;
  readonly revisions: [string, number][] = [];
  readonly leases = new Leases({
    network: this.network,
    now: this.clock.now,
    report: () => this.device,
    onRevision: (task, revision) => void this.revisions.push([task, revision]),
    closing: this.closing.signal,
    api: {
      placement: async (request, signal) => {
        const { promise, resolve, reject } = Promise.withResolvers<Lease>();
        this.asks.push({ request, signal, grant: resolve, fail: reject });
        return { placement: null, lease: await promise };
      },
    },
  });

  get ask(): Ask {
    const ask = this.asks.at(-1);
    if (ask === undefined) throw new Error('Expected the mesh to be asked');
    return ask;
  }

  /** Asks for a lease and lets the mesh grant `granted`. */
  async take(granted: Lease): Promise<Lease> {
    const taken = this.leases.get('digits', 0);
    await settled();
    this.ask.grant(granted);
    return await taken;
  }
}

const device = (deviceClass: string): DeviceReport => ({ deviceClass, ready: [] });
const unreachable = new MeshError('MESH_NETWORK', 'The mesh cannot be reached');

describe('leases', () => {
  test('callers at the same time share one request', async () => {
    const mesh = new HandMesh();
    const both = Promise.all([mesh.leases.get('digits', 100), mesh.leases.get('digits', 100)]);
    await settled();
    expect(mesh.asks).toHaveLength(1);
    expect(mesh.ask.request).toMatchObject({ task: 'digits', payloadBytes: 100 });
    mesh.ask.grant(lease());
    expect(await both).toEqual([lease(), lease()]);
  });

  test('a lease that is fresh is used as it is, and asking measures the way to the mesh', async () => {
    const mesh = new HandMesh();
    const taken = mesh.leases.get('digits', 0);
    await settled();
    mesh.clock.ms = 30;
    mesh.ask.grant(lease({ ttlMs: 30_000 }));
    await taken;
    expect(mesh.network.path.rtt.meanMs).toBe(30);
    mesh.clock.ms = 2_400;
    expect(await mesh.leases.get('digits', 0)).toEqual(lease({ ttlMs: 30_000 }));
    await settled();
    expect(mesh.asks).toHaveLength(1);
  });

  test('a lease that is no longer fresh is renewed once in the background, and nobody waits for that', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ id: 'first', ttlMs: 30_000 }));
    mesh.clock.ms = 2_600;
    expect((await mesh.leases.get('digits', 0)).id).toBe('first');
    expect((await mesh.leases.get('digits', 0)).id).toBe('first');
    await settled();
    expect(mesh.asks).toHaveLength(2);
    mesh.ask.grant(lease({ id: 'second', ttlMs: 30_000 }));
    await settled();
    expect((await mesh.leases.get('digits', 0)).id).toBe('second');
    expect(mesh.asks).toHaveLength(2);
  });

  test('a renewal that fails hurts nobody while the lease holds', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ id: 'first', ttlMs: 30_000 }));
    mesh.clock.ms = 2_600;
    await mesh.leases.get('digits', 0);
    await settled();
    mesh.ask.fail(unreachable);
    await settled();
    expect((await mesh.leases.get('digits', 0)).id).toBe('first');
  });

  test('a lease that has ended is waited for', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ id: 'first', ttlMs: 1_000 }));
    mesh.clock.ms = 1_000;
    expect((await mesh.take(lease({ id: 'second' }))).id).toBe('second');
  });

  test('the mesh is asked anew when the class of the device has changed', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ id: 'without a device' }));
    mesh.device = device('wasm:x64-4');
    expect((await mesh.take(lease({ id: 'as wasm' }))).id).toBe('as wasm');
    mesh.device = device('webgpu:test');
    expect((await mesh.take(lease({ id: 'as webgpu' }))).id).toBe('as webgpu');
    expect(mesh.asks.map(({ request }) => request.device?.deviceClass)).toEqual([
      undefined,
      'wasm:x64-4',
      'webgpu:test',
    ]);
  });

  test('while the mesh cannot be reached, a former lease holds without its remote options', async () => {
    const mesh = new HandMesh();
    const former = lease({ ttlMs: 1_000 });
    await mesh.take(former);
    mesh.clock.ms = 5_000;
    const offline = mesh.leases.get('digits', 0);
    await settled();
    mesh.ask.fail(unreachable);
    expect(await offline).toEqual({ ...former, remote: [] });
    // It is not kept as if it had been granted: the next call asks again.
    expect((await mesh.take(lease({ id: 'back again' }))).remote).toHaveLength(1);
  });

  test('without a former lease an unreachable mesh is an error', async () => {
    const mesh = new HandMesh();
    const first = mesh.leases.get('digits', 0);
    await settled();
    mesh.ask.fail(unreachable);
    await expect(first).rejects.toBe(unreachable);
  });

  test.each([
    ['MESH_NETWORK', 'if-retryable', true],
    ['MESH_RATE_LIMITED', 'if-retryable', true],
    ['MESH_DRAINING', 'if-retryable', true],
    ['MESH_UNAUTHENTICATED', 'if-retryable', false],
    ['MESH_UNAUTHENTICATED', 'always', true],
    ['MESH_NETWORK', 'never', false],
  ] as const)('after %s, a caller that uses an ended lease %s gets one: %s', async (code, useEnded, gets) => {
    const mesh = new HandMesh();
    await mesh.take(lease({ ttlMs: 1_000 }));
    mesh.clock.ms = 5_000;
    const taken = mesh.leases.get('digits', 0, { useEnded });
    await settled();
    mesh.ask.fail(new MeshError(code, 'Not now'));
    if (gets) expect(await taken).toMatchObject({ id: 'lease-1', remote: [] });
    else await expect(taken).rejects.toMatchObject({ code });
  });

  test('an abort is no reason to use an ended lease', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ ttlMs: 1_000 }));
    mesh.clock.ms = 5_000;
    const caller = new AbortController();
    const taken = mesh.leases.get('digits', 0, { signal: caller.signal, useEnded: 'always' });
    await settled();
    caller.abort(new MeshError('MESH_NETWORK', 'gone'));
    await expect(taken).rejects.toThrow('gone');
  });

  test('closing the mesh ends a renewal in the background', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ id: 'first', ttlMs: 30_000 }));
    mesh.clock.ms = 2_600;
    await mesh.leases.get('digits', 0);
    await settled();
    mesh.closing.abort(new Error('closed'));
    await settled();
    expect(mesh.ask.signal?.aborted).toBe(true);
    await mesh.leases.get('digits', 0);
    await settled();
    expect(mesh.asks).toHaveLength(2);
  });

  test('a caller that aborts gets its own reason and the request is ended', async () => {
    const mesh = new HandMesh();
    const caller = new AbortController();
    const taken = mesh.leases.get('digits', 0, { signal: caller.signal });
    await settled();
    caller.abort(new Error('gone'));
    await expect(taken).rejects.toThrow('gone');
    expect(mesh.ask.signal?.aborted).toBe(true);
  });
});

describe('requests that a lease allows', () => {
  test('are counted as they are sent, and told when the lease is renewed', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ id: 'first', ttlMs: 30_000, maxRequests: 10 }));
    expect(mesh.ask.request).not.toHaveProperty('lease');
    for (let sent = 0; sent < 3; sent += 1) mesh.leases.countSent('digits');
    mesh.clock.ms = 3_000;
    mesh.leases.holding('digits');
    await settled();
    expect(mesh.ask.request.lease).toEqual({ id: 'first', remoteRequests: 3 });
    // Sent while the mesh is being asked: those are the next lease's.
    mesh.leases.countSent('digits');
    mesh.ask.grant(lease({ id: 'second', ttlMs: 30_000, maxRequests: 12 }));
    await settled();
    expect(mesh.leases.reports()).toEqual([{ id: 'second', remoteRequests: 1 }]);
  });

  test('are asked for in the background before they are used up', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ id: 'first', ttlMs: 30_000, maxRequests: 4 }));
    mesh.clock.ms = 300;
    mesh.leases.countSent('digits');
    mesh.leases.holding('digits');
    await settled();
    expect(mesh.asks).toHaveLength(1);
    mesh.leases.countSent('digits');
    expect(mesh.leases.holding('digits')?.id).toBe('first');
    await settled();
    expect(mesh.asks).toHaveLength(2);
    expect(mesh.leases.isUsedUp('digits')).toBe(false);
  });

  test('are waited for once they are used up, but not from a mesh that was asked a moment ago', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ id: 'first', ttlMs: 30_000, maxRequests: 1 }));
    mesh.leases.countSent('digits');
    expect(mesh.leases.isUsedUp('digits')).toBe(true);
    expect(mesh.leases.refill('digits', 0)).toBeUndefined();
    mesh.clock.ms = 300;
    const refilled = mesh.leases.refill('digits', 0);
    await settled();
    expect(mesh.ask.request.lease).toEqual({ id: 'first', remoteRequests: 1 });
    mesh.ask.grant(lease({ id: 'second', maxRequests: 4 }));
    expect((await refilled)?.id).toBe('second');
    expect(mesh.leases.isUsedUp('digits')).toBe(false);
    expect(mesh.leases.refill('digits', 0)).toBeUndefined();
  });

  test('do not count under the next lease, however many they were', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ id: 'first', ttlMs: 30_000, maxRequests: 1_000 }));
    for (let sent = 0; sent < 1_500; sent += 1) mesh.leases.countSent('digits');
    mesh.clock.ms = 3_000;
    mesh.leases.holding('digits');
    await settled();
    expect(mesh.ask.request.lease).toEqual({ id: 'first', remoteRequests: 1_000 });
    mesh.ask.grant(lease({ id: 'second', ttlMs: 30_000, maxRequests: 16 }));
    await settled();
    expect(mesh.leases.reports()).toEqual([{ id: 'second', remoteRequests: 0 }]);
    expect(mesh.leases.isUsedUp('digits')).toBe(false);
  });

  test('are without bound where the lease names none', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ ttlMs: 30_000 }));
    for (let sent = 0; sent < 10_000; sent += 1) mesh.leases.countSent('digits');
    expect(mesh.leases.isUsedUp('digits')).toBe(false);
    expect(mesh.leases.reports()[0]?.remoteRequests).toBeLessThanOrEqual(1_000);
  });

  test('are not told of a lease that has ended: nobody holds anything for it any more', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ ttlMs: 1_000, maxRequests: 4 }));
    mesh.clock.ms = 1_000;
    expect(mesh.leases.reports()).toEqual([]);
  });
});

describe('places that requests pass over', () => {
  const place = (worker: string) => ({
    variant: 'tiny',
    revision: 1,
    tier: 'edge' as const,
    deviceClass: 'cpu:test',
    worker,
  });

  test('are told by place when the page goes, but not without end', async () => {
    const mesh = new HandMesh();
    mesh.leases.countPassedOver('digits', [place('w')]);
    await mesh.take(lease({ ttlMs: 30_000 }));
    for (let worker = 0; worker < 40; worker += 1) {
      mesh.leases.countPassedOver('digits', [place(`w${worker}`)]);
    }
    for (let request = 0; request < 1_500; request += 1) mesh.leases.countPassedOver('digits', [place('w0')]);
    const [report] = mesh.leases.reports();
    expect(report?.passedOver).toHaveLength(32);
    expect(report?.passedOver?.slice(0, 2)).toEqual([
      { ...place('w0'), requests: 1_000 },
      { ...place('w1'), requests: 1 },
    ]);
  });
});

describe('what a lease brings', () => {
  const prices = (epoch: number) => ({
    epoch,
    prices: [{ tier: 'edge' as const, deviceClass: 'cpu:test', picoUsdPerMs: epoch }],
  });

  test('the revision of the task', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ revision: 4 }));
    expect(mesh.revisions).toEqual([['digits', 4]]);
  });

  test('prices, until newer ones come another way', async () => {
    const mesh = new HandMesh();
    expect(mesh.leases.priceEpoch).toBeUndefined();
    await mesh.take(lease({ ttlMs: 30_000, shadowPrices: prices(1) }));
    expect(mesh.leases.priceEpoch).toBe(1);
    mesh.leases.setPrices(prices(2), 1);
    expect(mesh.leases.priceEpoch).toBe(2);
    expect(mesh.leases.holding('digits')?.shadowPrices).toEqual(prices(2));
  });

  test('prices of one epoch for all tasks, the newest', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ ttlMs: 30_000, shadowPrices: prices(1) }));
    const epochs = () => ['digits', 'fashion'].map((task) => mesh.leases.holding(task)?.shadowPrices?.epoch);
    const fashion = mesh.leases.get('fashion', 0);
    await settled();
    mesh.ask.grant(lease({ ttlMs: 30_000, shadowPrices: prices(3) }));
    expect((await fashion).shadowPrices).toEqual(prices(3));
    expect(epochs()).toEqual([3, 3]);
  });

  test('prices of the higher epoch, where answers overtake each other', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ ttlMs: 30_000, shadowPrices: prices(1) }));
    const fashion = mesh.leases.get('fashion', 0);
    await settled();
    mesh.leases.setPrices(prices(3), 1);
    mesh.ask.grant(lease({ ttlMs: 30_000, shadowPrices: prices(2) }));
    expect((await fashion).shadowPrices).toEqual(prices(3));
    mesh.leases.setPrices(prices(2), 1);
    expect(mesh.leases.priceEpoch).toBe(3);
  });

  test('prices of a mesh that was started again, whose epochs begin anew', async () => {
    const mesh = new HandMesh();
    await mesh.take(lease({ ttlMs: 30_000, shadowPrices: prices(7) }));
    mesh.leases.setPrices(prices(1), 7);
    expect(mesh.leases.priceEpoch).toBe(1);
    expect(mesh.leases.holding('digits')?.shadowPrices).toEqual(prices(1));
  });
});
