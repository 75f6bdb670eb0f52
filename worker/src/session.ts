import type { WorkerSideLink } from '@nearfar/core';
import {
  type ExecuteRequest,
  type Load,
  MeshError,
  type ProfileReport,
  type Replica,
  type Tensor,
  type WorkerHello,
} from '@nearfar/protocol';
import type { ExecutionTimes } from './executor.ts';

/** Most reports in one message; the wire allows 256. */
const REPORTS_PER_MESSAGE = 128;

export interface SessionOptions {
  readonly link: WorkerSideLink;
  /** Newest round trip of the link in milliseconds, if it was measured. */
  readonly rttMs: () => number | undefined;
  /** How busy the worker is now. */
  readonly load: () => Omit<Load, 'lastSequence' | 'rttMs'>;
}

/** What a worker says on one link, from its hello to the link's end. */
export class Session {
  readonly #options: SessionOptions;
  readonly #ended = new AbortController();
  /** Requests of this session that have not been answered. */
  readonly #open = new Set<ExecuteRequest>();
  #lastSequence = 0;
  #isWelcome = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Aborts when the session has ended. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  hello(hello: WorkerHello): void {
    this.#options.link.send(hello);
  }

  /** From now on reports are sent. */
  welcome(): void {
    this.#isWelcome = true;
  }

  /** Takes note of a request that has to be answered. */
  receive(request: ExecuteRequest): void {
    this.#lastSequence = Math.max(this.#lastSequence, request.sequence);
    this.#open.add(request);
  }

  /** Sends a result; one that the link cannot carry becomes a refusal, so that nobody waits for it. */
  answer(request: ExecuteRequest, tensors: readonly Tensor[], times: ExecutionTimes): void {
    if (!this.#open.has(request)) return;
    const { requestId } = request;
    try {
      const load = this.#load();
      this.#options.link.send({ type: 'execute-result', requestId, ...times, load }, tensors);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const message = `The outputs of "${request.variant}" cannot be sent (${reason}); ask for fewer rows`;
      this.refuse(request, new MeshError('MESH_EXECUTION_FAILED', message, { cause }));
      return;
    }
    this.#open.delete(request);
  }

  refuse(request: ExecuteRequest, error: MeshError): void {
    if (!this.#open.delete(request)) return;
    const { requestId } = request;
    this.#options.link.send({
      type: 'execute-refused',
      requestId,
      error: error.toBody(),
      load: this.#load(),
    });
  }

  reportLoad(replicas: Replica[]): void {
    if (!this.#isWelcome) return;
    this.#options.link.send({ type: 'load-report', load: this.#load(), replicas });
  }

  reportProfiles(reports: readonly ProfileReport[]): void {
    if (!this.#isWelcome) return;
    for (let start = 0; start < reports.length; start += REPORTS_PER_MESSAGE) {
      const part = reports.slice(start, start + REPORTS_PER_MESSAGE);
      this.#options.link.send({ type: 'profile-report', reports: part });
    }
  }

  drain(reason: string): void {
    this.#options.link.send({ type: 'worker-drain', reason: reason.slice(0, 256) });
  }

  /** Nothing is answered or reported any more; the link stays as it is. May be called twice. */
  end(): void {
    this.#ended.abort();
    this.#open.clear();
    this.#isWelcome = false;
  }

  /** Ends the session and its link. */
  close(reason: string): void {
    this.end();
    this.#options.link.close(1_000, reason);
  }

  #load(): Load {
    const rttMs = this.#options.rttMs();
    const lastSequence = this.#lastSequence;
    return { ...this.#options.load(), lastSequence, ...(rttMs === undefined ? {} : { rttMs }) };
  }
}
