import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startPoolWorker } from '@nearfar/gpu-pool';
import {
  type CoordinatorMessage,
  decodeFrame,
  encodeFrame,
  type Frame,
  type Tensor,
  type WorkerMessage,
} from '@nearfar/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { digitsInputs, digitsVariant } from '../../support/worker/digits.ts';
import type { TestVariant } from '../../support/worker/model-variant.ts';

const TOKEN = 'test-token';

/** A coordinator's side of the link in a few lines: it records what workers send and serves their artifacts. */
class TestMesh {
  readonly received: Frame[] = [];
  readonly closeCodes: number[] = [];
  connections = 0;
  /** Downloads that break off before their first byte from now on. */
  brokenDownloads = 0;
  socket: WebSocket | undefined;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true });
  #wake: (() => void) | undefined;

  constructor(variant?: TestVariant) {
    this.#server = createServer((request, response) => {
      if (this.brokenDownloads > 0) {
        this.brokenDownloads -= 1;
        request.socket.destroy();
        return;
      }
      const file = variant?.files.get(request.url?.split('/').at(-1) ?? '');
      const isAllowed = request.headers.authorization === `Bearer ${TOKEN}`;
      response.writeHead(!isAllowed ? 401 : file === undefined ? 404 : 200).end(isAllowed ? file : undefined);
    });
    this.#server.on('upgrade', (request, socket, head) => {
      if (request.headers.authorization !== `Bearer ${TOKEN}`) {
        socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
        return;
      }
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#accept(webSocket));
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  send(message: CoordinatorMessage, tensors: readonly Tensor[] = []): void {
    this.socket?.send(encodeFrame({ message, tensors }));
  }

  /** The next frame of a type (and, for answers, of a request) that was or will be received. */
  async next(type: WorkerMessage['type'], isWanted: (frame: Frame) => boolean = () => true): Promise<Frame> {
    for (;;) {
      const index = this.received.findIndex((frame) => frame.message.type === type && isWanted(frame));
      const [frame] = index === -1 ? [] : this.received.splice(index, 1);
      if (frame !== undefined) return frame;
      await this.changed();
    }
  }

  async changed(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  async close(): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: WebSocket): void {
    this.connections += 1;
    this.socket = socket;
    socket.on('message', (data: Buffer) => {
      const frame = decodeFrame(data);
      this.received.push(frame);
      if (frame.message.type === 'worker-hello') {
        const sessionId = `session-${this.connections}`;
        this.send({ type: 'worker-welcome', protocol: 1, sessionId, reportEveryMs: 200, credits: 8 });
      }
      this.#wake?.();
    });
    socket.on('close', (code) => {
      this.closeCodes.push(code);
      this.#wake?.();
    });
  }
}

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function pair(variant?: TestVariant) {
  const mesh = new TestMesh(variant);
  const join = await mesh.listen();
  closers.push(() => mesh.close());
  const options = {
    join,
    token: TOKEN,
    workerId: 'pool-1',
    device: 'cpu',
    slots: 1,
    log: () => undefined,
  } as const;
  const pool = await startPoolWorker(options);
  closers.push(() => pool.close());
  return { mesh, pool };
}

describe('a pool worker', () => {
  test('dials in, downloads, executes and measures the round trip', async () => {
    const tiny = await digitsVariant('tiny');
    const { mesh } = await pair(tiny);
    const hello = await mesh.next('worker-hello');
    expect(hello.message).toMatchObject({ workerId: 'pool-1', tier: 'pool', slots: 1 });
    mesh.send({ type: 'variant-load', spec: tiny.spec });
    await mesh.next('load-report', ({ message }) => JSON.stringify(message).includes('"ready"'));
    const [input] = await digitsInputs();
    const { task, variant, revision } = tiny.spec;
    const address = { task, variant, revision, budgetMs: 5_000, priority: 0 };
    mesh.send(
      { type: 'execute-request', requestId: 'r1', sequence: 1, ...address },
      input === undefined ? [] : [input],
    );
    const { message, tensors } = await mesh.next('execute-result');
    expect(message).toMatchObject({ requestId: 'r1', batchSize: 1, load: { lastSequence: 1 } });
    expect((message.load as { rttMs?: number }).rttMs).toBeGreaterThan(0);
    expect(tensors[0]?.shape).toEqual([1, 10]);
  });

  test('downloads again what a broken connection kept from it', async () => {
    const tiny = await digitsVariant('tiny');
    const { mesh } = await pair(tiny);
    await mesh.next('worker-hello');
    mesh.brokenDownloads = 1;
    mesh.send({ type: 'variant-load', spec: tiny.spec });
    const reported = (text: string) =>
      mesh.next('load-report', ({ message }) => JSON.stringify(message.replicas).includes(text));
    await reported('MESH_NETWORK: The download of \\"tiny.onnx\\" from 127.0.0.1');
    await reported('"ready"');
  });

  test('comes back after the mesh closed the link, naming its session', async () => {
    const { mesh } = await pair();
    await mesh.next('worker-hello');
    await mesh.next('load-report');
    mesh.socket?.close(1_012, 'restart');
    const hello = await mesh.next('worker-hello');
    expect(hello.message.sessionId).toBe('session-1');
    expect(mesh.connections).toBe(2);
  });

  test('closes with 4400 on a frame that it cannot read, and dials again', async () => {
    const { mesh } = await pair();
    await mesh.next('worker-hello');
    mesh.socket?.send(new Uint8Array([1, 2, 3]));
    await mesh.next('worker-hello');
    expect(mesh.closeCodes).toEqual([4_400]);
  });

  test('gives up on a wrong token, saying so', async () => {
    const mesh = new TestMesh();
    const join = await mesh.listen();
    closers.push(() => mesh.close());
    const pool = await startPoolWorker({ join, token: 'wrong', device: 'cpu', log: () => undefined });
    await expect(pool.closed).rejects.toMatchObject({ code: 'MESH_UNAUTHENTICATED' });
    await pool.close();
  });

  test('ends for good when the mesh asks it to drain', async () => {
    const { mesh, pool } = await pair();
    await mesh.next('load-report');
    mesh.send({ type: 'worker-drain', reason: 'upgrade' });
    await pool.closed;
    expect(mesh.connections).toBe(1);
  });
});
