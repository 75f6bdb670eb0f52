import type { Tensor } from '@nearfar/protocol';
import type { EngineCall, EngineRequest, EngineResponse } from '../../../client-sdk/src/engine/messages.ts';

/** A Web Worker without a thread: it keeps what it is sent and says what the test lets it say. */
export class FakeWorker extends EventTarget {
  readonly requests: EngineRequest[] = [];
  /** What was handed over and not copied. */
  readonly transferred: Transferable[] = [];
  isTerminated = false;

  /** What was asked so far, in order. */
  get kinds(): EngineCall['kind'][] {
    return this.requests.map(({ call }) => call.kind);
  }

  postMessage(request: EngineRequest, transfer: Transferable[] = []): void {
    this.requests.push(request);
    this.transferred.push(...transfer);
  }

  terminate(): void {
    this.isTerminated = true;
  }

  /** Answers the latest request. */
  done(tensors: readonly Tensor[] = []): void {
    this.#say({ id: this.#latestId, kind: 'done', tensors });
  }

  /** Fails the latest request. */
  fail(message: string, code = 'MESH_EXECUTION_FAILED'): void {
    this.#say({ id: this.#latestId, kind: 'failed', code, message });
  }

  /** Dies, as a worker whose script cannot be loaded does. */
  crash(message: string): void {
    this.dispatchEvent(Object.assign(new Event('error'), { message }));
  }

  get #latestId(): number {
    return this.requests.at(-1)?.id ?? -1;
  }

  #say(data: EngineResponse): void {
    if (!this.isTerminated) this.dispatchEvent(new MessageEvent('message', { data }));
  }
}

/** The workers that a host created, in order. */
export class FakeWorkers {
  readonly all: FakeWorker[] = [];
  readonly create = (): Worker => {
    const worker = this.make();
    this.all.push(worker);
    return worker as unknown as Worker;
  };

  /** The worker created last. */
  get current(): FakeWorker {
    const worker = this.all.at(-1);
    if (worker === undefined) throw new Error('Expected a worker to be created');
    return worker;
  }

  protected make(): FakeWorker {
    return new FakeWorker();
  }
}

/** Gives a call's outputs, or throws what the engine fails with; undefined = the call is never answered. */
export type Answering = (call: EngineCall) => readonly Tensor[] | undefined;

/** Workers that answer by themselves, a microtask after they were asked. */
export class AnsweringWorkers extends FakeWorkers {
  readonly calls: EngineCall[] = [];
  readonly #answering: Answering;

  constructor(answering: Answering) {
    super();
    this.#answering = answering;
  }

  /** Names of the sessions that were run, in order. */
  get runs(): string[] {
    return this.calls.flatMap((call) => (call.kind === 'run' ? [call.session] : []));
  }

  protected override make(): FakeWorker {
    const worker = new FakeWorker();
    worker.postMessage = ({ id, call }) => {
      this.calls.push(call);
      queueMicrotask(() => {
        if (worker.isTerminated) return;
        const data = this.#answer(id, call);
        if (data !== undefined) worker.dispatchEvent(new MessageEvent('message', { data }));
      });
    };
    return worker;
  }

  #answer(id: number, call: EngineCall): EngineResponse | undefined {
    try {
      const tensors = this.#answering(call);
      return tensors && { id, kind: 'done', tensors };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { id, kind: 'failed', code: 'MESH_EXECUTION_FAILED', message };
    }
  }
}
