import { once } from 'node:events';
import { Sketch } from '@nearfar/core';
import { decodeFrame, encodeFrame, float32Tensor, LINK_PROTOCOL, type Tensor } from '@nearfar/protocol';
import { WebSocket } from 'ws';

type Message = Readonly<Record<string, unknown>>;

/** What a fake worker says of itself. */
export interface FakeWorkerOptions {
  /** Default: a class of its own. */
  readonly deviceClass?: string;
  /** Whether `serve` reports a profile; default true. */
  readonly hasProfile?: boolean;
}

/** A worker over a real socket that records what it gets and answers as the test says. */
export class FakeWorker {
  readonly received: Message[] = [];
  readonly socket: WebSocket;
  readonly id: string;
  readonly closed: Promise<{ code: number; reason: string }>;
  /** What to do with an `execute-request`; the default answers with three scores for each row. */
  onExecute: (request: Message, tensors: readonly Tensor[]) => void = (request, tensors) =>
    this.answer(request, tensors);
  #waiters: { type: string; resolve: (message: Message) => void }[] = [];
  readonly #deviceClass: string;
  readonly #hasProfile: boolean;
  #sequence = 0;

  private constructor(socket: WebSocket, id: string, deviceClass: string, hasProfile: boolean) {
    this.socket = socket;
    this.id = id;
    this.#deviceClass = deviceClass;
    this.#hasProfile = hasProfile;
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    socket.binaryType = 'arraybuffer';
    socket.on('message', (data) => {
      const { message, tensors } = decodeFrame(new Uint8Array(data as ArrayBuffer));
      this.received.push(message);
      for (const waiter of this.#waiters.filter(({ type }) => type === message.type)) waiter.resolve(message);
      this.#waiters = this.#waiters.filter(({ type }) => type !== message.type);
      if (message.type !== 'execute-request') return;
      this.#sequence = Number(message.sequence);
      this.onExecute(message, tensors);
    });
  }

  /** Dials in and says hello; becomes a candidate with `serve`. */
  static async dial(
    url: string,
    token: string,
    id: string,
    { deviceClass = `cpu:${id}`, hasProfile = true }: FakeWorkerOptions = {},
  ): Promise<FakeWorker> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/link`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    const worker = new FakeWorker(socket, id, deviceClass, hasProfile);
    await once(socket, 'open');
    worker.send({
      type: 'worker-hello',
      protocol: LINK_PROTOCOL,
      workerId: id,
      tier: 'pool',
      device: { kind: 'cpu', deviceClass, description: 'fake' },
      slots: 1,
      queueCapacity: 8,
      formats: ['onnx'],
    });
    return worker;
  }

  /** Waits for the variant, reports it ready, and a profile of `computeMs`. */
  async serve(computeMs = 2): Promise<void> {
    if (!this.received.some((message) => message.type === 'variant-load')) await this.next('variant-load');
    const sketch = new Sketch();
    for (let run = 0; run < 50; run += 1) sketch.add(computeMs);
    const replica = { task: 'sample', variant: 'tiny-fp32-onnx', revision: 1 };
    this.send({ type: 'load-report', load: this.#load(), replicas: [{ ...replica, state: 'ready' }] });
    if (!this.#hasProfile) return;
    const profile = { ...replica, deviceClass: this.#deviceClass, batch: 1, epoch: 'one', version: 1 };
    this.send({ type: 'profile-report', reports: [{ ...profile, computeMs: sketch.toData() }] });
  }

  /** The next message of a type. */
  next(type: string): Promise<Message> {
    return new Promise((resolve) => {
      this.#waiters.push({ type, resolve });
    });
  }

  answer(request: Message, tensors: readonly Tensor[]): void {
    const rows = tensors[0]?.shape[0] ?? 1;
    const scores = new Float32Array(rows * 3).map((_, index) => index % 3);
    const timing = { queueMs: 0.5, batchWaitMs: 0, computeMs: 2, batchSize: rows };
    this.send({ type: 'execute-result', requestId: request.requestId, ...timing, load: this.#load() }, [
      float32Tensor('logits', [rows, 3], scores),
    ]);
  }

  refuse(request: Message, code: string): void {
    const error = { error: `refused with ${code}`, code, retryable: true };
    this.send({ type: 'execute-refused', requestId: request.requestId, error, load: this.#load() });
  }

  send(message: Message, tensors: readonly Tensor[] = []): void {
    this.socket.send(encodeFrame({ message, tensors }));
  }

  async close(): Promise<void> {
    this.socket.terminate();
    await this.closed;
  }

  #load() {
    return { backlogMs: 0, waiting: 0, running: 0, lastSequence: this.#sequence, rttMs: 1 };
  }
}
