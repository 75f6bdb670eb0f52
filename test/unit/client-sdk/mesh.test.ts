import type { OutcomesRequest } from '@nearfar/protocol';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMesh } from '../../../client-sdk/src/mesh.ts';
import type { Mesh } from '../../../client-sdk/src/types.ts';
import { artifactOf, lease, rowsOf, taskInfo, variantSpec } from './builders.ts';
import { AnsweringWorkers } from './fake-worker.ts';

const FILE = Uint8Array.of(1, 2, 3);
const TASK = taskInfo({}, [variantSpec({ artifacts: [artifactOf(FILE)] })]);

/** The mesh at the other end of `fetch`, whose only file comes when the test lets it. */
class FarMesh {
  readonly file = Promise.withResolvers<void>();
  readonly downloads: AbortSignal[] = [];
  readonly reports: OutcomesRequest[] = [];
  /** Resolved when the file is asked for. */
  readonly asked = Promise.withResolvers<void>();

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const path = new URL(url).pathname;
    if (path === '/v1/models') return Response.json({ models: [TASK] });
    if (path === '/v1/placements') return Response.json({ placement: null, lease: lease() });
    if (path === '/v1/outcomes') {
      this.reports.push(JSON.parse(String(init.body)));
      return new Response(null, { status: 204 });
    }
    if (path.startsWith('/v1/artifacts/')) {
      if (init.signal) this.downloads.push(init.signal);
      this.asked.resolve();
      await this.file.promise;
      return new Response(FILE);
    }
    throw new Error(`Expected no call of ${path}`);
  };
}

const input = () => rowsOf('x', 1, 2);

let far: FarMesh;
let mesh: Mesh;

function open(workers: AnsweringWorkers): void {
  far = new FarMesh();
  vi.stubGlobal('fetch', far.fetch);
  mesh = createMesh({ endpoint: 'http://mesh.test', engines: ['ort-wasm'], createWorker: workers.create });
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(async () => {
  await mesh.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('a local_only request whose device is not ready', () => {
  test('leaves its preparation going when it gives up, and the next request finds it', async () => {
    open(new AnsweringWorkers((call) => (call.kind === 'run' ? [rowsOf('y', 1, 3)] : [])));
    const caller = new AbortController();
    const first = mesh.infer('digits', input(), { privacy: 'local_only', signal: caller.signal });
    await far.asked.promise;
    caller.abort(new Error('took too long'));
    await expect(first).rejects.toThrow('took too long');
    const second = mesh.infer('digits', input(), { privacy: 'local_only' });
    far.file.resolve();
    expect((await second).placement.tier).toBe('browser');
    expect(far.downloads.map(({ aborted }) => aborted)).toEqual([false]);
  });

  test('ends with its preparation when the mesh is closed', async () => {
    open(new AnsweringWorkers(() => []));
    const waiting = mesh.infer('digits', input(), { privacy: 'local_only' });
    const settled = expect(waiting).rejects.toMatchObject({ code: 'MESH_CANCELLED' });
    await far.asked.promise;
    await mesh.close();
    await settled;
    expect(far.downloads.map(({ aborted }) => aborted)).toEqual([true]);
    far.file.resolve();
  });
});

describe('closing a mesh', () => {
  test('ends what runs, and reports it with what was measured, once', async () => {
    const running = Promise.withResolvers<void>();
    let isStuck = false;
    open(
      new AnsweringWorkers((call) => {
        if (call.kind !== 'run') return [];
        if (!isStuck) return [rowsOf('y', 1, 3)];
        running.resolve();
        return undefined;
      }),
    );
    far.file.resolve();
    await mesh.prepare('digits');
    isStuck = true;
    const stuck = mesh.infer('digits', input(), { privacy: 'local_only' });
    const settled = expect(stuck).rejects.toMatchObject({ code: 'MESH_CANCELLED' });
    await running.promise;
    await Promise.all([mesh.close(), settled]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(far.reports).toEqual([
      {
        outcomes: [expect.objectContaining({ tier: 'browser', status: 'cancelled' })],
        profiles: [expect.objectContaining({ variant: 'tiny-fp32-onnx' })],
        leases: [{ id: 'lease-1', remoteRequests: 0 }],
      },
    ]);
    expect(mesh.status().ready).toEqual([]);
  });
});
