import { once } from 'node:events';
import { Sketch } from '@nearfar/core';
import {
  decodeFrame,
  encodeFrame,
  float32Tensor,
  LINK_PROTOCOL,
  type Load,
  type Tensor,
} from '@nearfar/protocol';
import { WebSocket } from 'ws';

type Message = Readonly<Record<string, unknown>>;

const IDLE = { backlogMs: 0, waiting: 0, running: 0 };

/** What a fake worker says of itself. */
export interface FakeWorkerOptions {
  /** Default: a class of its own. */
  readonly deviceClass?: string;
  /** Whether `serve` reports a profile; default true. */
  readonly hasProfile?: boolean;
  /** Default: ONNX alone. */
  readonly formats?: readonly ('onnx' | 'tfjs')[];
  /** Default: pool. */
  readonly tier?: 'edge' | 'pool';
}

/** A variant in one revision. */
interface Held {
  readonly task: string;
  readonly variant: string;
  readonly revision: number;
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
  /** What it says that it has to do; the default is nothing, whatever it was sent. */
  load: () => Omit<Load, 'lastSequence' | 'rttMs'> = () => IDLE;
  /** What its answers say that they took, in milliseconds. */
  computeMs = 2;
  /** What the mesh has it hold at present. */
  readonly held = new Map<string, Held>();
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
      this.#hold(message);
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
    {
      deviceClass = `cpu:${id}`,
      hasProfile = true,
      formats = ['onnx'],
      tier = 'pool',
    }: FakeWorkerOptions = {},
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
      tier,
      device: { kind: 'cpu', deviceClass, description: 'fake' },
      slots: 1,
      queueCapacity: 8,
      formats,
    });
    return worker;
  }

  /** Waits for the first variant, then reports all that it holds as ready, with profiles of `computeMs`. */
  async serve(computeMs = 2): Promise<void> {
    if (this.held.size === 0) await this.next('variant-load');
    if (this.#hasProfile) this.profile(() => computeMs);
    this.report();
  }

  /** Reports what it holds; `stateOf` says how far each is, by default ready. */
  report(stateOf: (held: Held) => 'loading' | 'ready' | 'failed' = () => 'ready'): void {
    const replicas = [...this.held.values()].map((held) => ({ ...held, state: stateOf(held) }));
    this.send({ type: 'load-report', load: this.#load(), replicas });
  }

  /** Reports that it has measured each variant that it holds. */
  profile(computeMsOf: (held: Held) => number): void {
    const reports = [...this.held.values()].map((held) => {
      const sketch = new Sketch();
      for (let run = 0; run < 50; run += 1) sketch.add(computeMsOf(held));
      const key = { ...held, deviceClass: this.#deviceClass, batch: 1, epoch: 'one', version: 1 };
      return { ...key, computeMs: sketch.toData() };
    });
    this.send({ type: 'profile-report', reports });
  }

  /** The next message of a type. */
  next(type: string): Promise<Message> {
    return new Promise((resolve) => {
      this.#waiters.push({ type, resolve });
    });
  }

  /** Answers each row with the scores `ofRow`, by default with the last label as the best. */
  answer(request: Message, tensors: readonly Tensor[], ofRow: readonly number[] = [0, 1, 2]): void {
    this.answerRows(request, Array<readonly number[]>(tensors[0]?.shape[0] ?? 1).fill(ofRow));
  }

  /** Answers with three scores for each row. */
  answerRows(request: Message, rows: readonly (readonly number[])[]): void {
    const timing = { queueMs: 0.5, batchWaitMs: 0, computeMs: this.computeMs, batchSize: rows.length };
    this.send({ type: 'execute-result', requestId: request.requestId, ...timing, load: this.#load() }, [
      float32Tensor('logits', [rows.length, 3], Float32Array.from(rows.flat())),
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

  #hold(message: Message): void {
    if (message.type === 'variant-load') {
      const { task, variant, revision } = message.spec as Held;
      this.held.set(`${task}/${variant}/${revision}`, { task, variant, revision });
    } else if (message.type === 'variant-unload') {
      this.held.delete(`${message.task}/${message.variant}/${message.revision}`);
    }
  }

  #load() {
    return { ...this.load(), lastSequence: this.#sequence, rttMs: 1 };
  }
}
