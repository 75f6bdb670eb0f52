import { availableParallelism } from 'node:os';
import type { Clock, WorkerSideLink } from '@nearfar/core';
import {
  type CoordinatorMessage,
  type Device,
  type ExecuteRequest,
  LIMITS,
  LINK_PROTOCOL,
  type Load,
  MeshError,
  type ProfileReport,
  type Tensor,
} from '@nearfar/protocol';
import { detectDevice, systemHost } from './detect-device.ts';
import { type Engine, EngineThread } from './engine.ts';
import type { Provider } from './engine-messages.ts';
import { type ExecutionTimes, Executor } from './executor.ts';
import type { Log } from './log.ts';
import { Measurements } from './measurements.ts';
import { type ArtifactSource, ReplicaSet } from './replicas.ts';

/** Live measurements go out about this often. */
const PROFILE_EVERY_MS = 5_000;
const DEFAULT_QUEUE_CAPACITY = 128;
const DEFAULT_MAX_BATCH = 16;
/** Most reports in one message; the wire allows 256. */
const REPORTS_PER_MESSAGE = 128;

export interface WorkerOptions {
  readonly workerId: string;
  readonly tier: 'edge' | 'pool';
  /** What to run on; `auto` takes the first of CUDA, WebGPU and CPU that really runs. */
  readonly device: 'auto' | Provider;
  /** Batches that run at the same time; default one less than the cores (a GPU: 1), at least 1. */
  readonly slots?: number;
  /** Requests that may wait; default 128. */
  readonly queueCapacity?: number;
  /** Largest batch, in inputs; default 16. */
  readonly maxBatch?: number;
  /** What the worker costs, if it knows better than the price book. */
  readonly usdPerHour?: number;
  readonly artifacts: ArtifactSource;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ConnectOptions {
  /** Newest round trip of the link in milliseconds, if it was measured. */
  readonly rttMs?: () => number | undefined;
}

/** A worker: what it runs on, and the link that it serves. */
export interface Worker {
  readonly device: Device;
  /** What the search for a device found, one sentence an attempt. */
  readonly findings: readonly string[];
  /** Says hello on a link and serves it; again after a reconnect. The former link is let go. */
  connect(link: WorkerSideLink, options?: ConnectOptions): void;
  /** Refuses new work, finishes what is there, closes the link. Further calls join the first. */
  drain(reason: string): Promise<void>;
  /** Ends everything at once. May be called twice. */
  close(): Promise<void>;
  /** Resolves when the worker has ended, also when the coordinator asked it to drain. */
  readonly ended: Promise<void>;
}

/**
 * Starts a worker: finds its device and starts one engine thread a slot.
 *
 * @throws MeshError `MESH_DEVICE_UNAVAILABLE`.
 */
export async function createWorker(options: WorkerOptions): Promise<Worker> {
  const threadsPerSession = 1;
  const scout = new EngineThread({ provider: 'cpu', threadsPerSession });
  try {
    const host = systemHost(threadsPerSession);
    const detection = await detectDevice(options.device, (provider) => scout.probe(provider), host);
    const { provider, device, findings } = detection;
    const cpuSlots = Math.max(1, availableParallelism() - 1);
    const slots = options.slots ?? (provider === 'cpu' ? cpuSlots : 1);
    if (!Number.isInteger(slots) || slots < 1 || slots > 256) {
      throw new RangeError(`Expected slots to be an integer from 1 to 256, got ${slots}`);
    }
    const engines = Array.from({ length: slots }, () => new EngineThread({ provider, threadsPerSession }));
    return new MeshWorker(options, { device, findings, engines });
  } finally {
    await scout.close();
  }
}

/** The parts of a worker that tests bring themselves. */
export interface WorkerParts {
  readonly device: Device;
  readonly findings: readonly string[];
  readonly engines: readonly Engine[];
}

interface Session {
  readonly link: WorkerSideLink;
  readonly rttMs: () => number | undefined;
  readonly ended: AbortController;
  /** Requests of this session that have not been answered. */
  readonly open: Set<ExecuteRequest>;
  lastSequence: number;
  isWelcome: boolean;
}

/** A worker over given engines; `createWorker` is the way to a real one. */
export class MeshWorker implements Worker {
  readonly device: Device;
  readonly findings: readonly string[];
  readonly #options: WorkerOptions;
  readonly #engines: readonly Engine[];
  readonly #queueCapacity: number;
  readonly #measurements: Measurements;
  readonly #replicas: ReplicaSet;
  readonly #executor: Executor;
  readonly #ended = Promise.withResolvers<void>();
  #session: Session | undefined;
  #sessionId: string | undefined;
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: WorkerOptions, { device, findings, engines }: WorkerParts) {
    const { artifacts, clock, log, maxBatch = DEFAULT_MAX_BATCH } = options;
    this.device = device;
    this.findings = findings;
    this.#options = options;
    this.#engines = engines;
    this.#queueCapacity = Math.min(LIMITS.maxWorkerQueue, options.queueCapacity ?? DEFAULT_QUEUE_CAPACITY);
    const measurements = new Measurements(device.deviceClass);
    this.#measurements = measurements;
    const onChange = () => this.#replicasChanged();
    this.#replicas = new ReplicaSet({ engines, artifacts, measurements, maxBatch, clock, log, onChange });
    this.#executor = new Executor({
      engines,
      measurements,
      queueCapacity: this.#queueCapacity,
      maxBatch,
      clock,
      ready: (request) => this.#replicas.ready(request),
      onResult: (request, tensors, times) => this.#answer(request, tensors, times),
      onRefused: (request, error) => this.#refuse(request, error),
    });
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  connect(link: WorkerSideLink, { rttMs = () => undefined }: ConnectOptions = {}): void {
    this.#endSession();
    const session: Session = {
      link,
      rttMs,
      ended: new AbortController(),
      open: new Set(),
      lastSequence: 0,
      isWelcome: false,
    };
    this.#session = session;
    link.onClose(() => {
      if (this.#session === session) this.#endSession();
    });
    link.onMessage((message, tensors) => {
      if (this.#session === session) this.#receive(session, message, tensors);
    });
    const { workerId, tier, usdPerHour } = this.#options;
    link.send({
      type: 'worker-hello',
      protocol: LINK_PROTOCOL,
      workerId,
      tier,
      device: this.device,
      slots: this.#engines.length,
      queueCapacity: this.#queueCapacity,
      formats: ['onnx'],
      ...(usdPerHour === undefined ? {} : { usdPerHour }),
      ...(this.#sessionId === undefined ? {} : { sessionId: this.#sessionId }),
    });
  }

  drain(reason: string): Promise<void> {
    this.#draining ??= this.#drain(reason);
    return this.#draining;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #drain(reason: string): Promise<void> {
    this.#options.log('info', 'worker drains', { reason });
    this.#session?.link.send({ type: 'worker-drain', reason: reason.slice(0, 256) });
    await this.#executor.idle();
    this.#sendProfiles(this.#measurements.takeReports());
    await this.close();
  }

  async #close(): Promise<void> {
    const link = this.#session?.link;
    this.#endSession();
    link?.close(1_000, this.#draining === undefined ? 'closed' : 'drained');
    this.#executor.close();
    // Engines first: a replica that is being measured then gives up at once.
    const stopped = this.#replicas.close();
    await Promise.all(this.#engines.map((engine) => engine.close()));
    await stopped;
    this.#ended.resolve();
  }

  #receive(session: Session, message: CoordinatorMessage, tensors: readonly Tensor[]): void {
    switch (message.type) {
      case 'worker-welcome':
        this.#sessionId = message.sessionId;
        session.isWelcome = true;
        this.#reportLoad();
        this.#sendProfiles(this.#measurements.allReports());
        void this.#reportEvery(session, message.reportEveryMs);
        break;
      case 'variant-load':
        void this.#replicas.load(message.spec);
        break;
      case 'variant-unload':
        void this.#replicas.unload(message);
        break;
      case 'execute-request':
        this.#execute(session, message, tensors);
        break;
      case 'execute-cancel':
        this.#executor.cancel(message.requestId);
        break;
      case 'worker-drain':
        void this.drain(message.reason);
        break;
    }
  }

  #execute(session: Session, request: ExecuteRequest, tensors: readonly Tensor[]): void {
    session.lastSequence = Math.max(session.lastSequence, request.sequence);
    session.open.add(request);
    if (this.#draining !== undefined) {
      this.#refuse(request, new MeshError('MESH_DRAINING', `Worker "${this.#options.workerId}" is draining`));
      return;
    }
    this.#executor.submit(request, tensors);
  }

  /** Sends a result; one that the link cannot carry becomes a refusal, so that nobody waits for it. */
  #answer(request: ExecuteRequest, tensors: readonly Tensor[], times: ExecutionTimes): void {
    const session = this.#session;
    if (!session?.open.has(request)) return;
    const { requestId } = request;
    try {
      const load = this.#load(session);
      session.link.send({ type: 'execute-result', requestId, ...times, batchWaitMs: 0, load }, tensors);
    } catch (cause) {
      const message = `The outputs of "${request.variant}" cannot be sent (${reasonOf(cause)}); ask for fewer rows`;
      this.#refuse(request, new MeshError('MESH_EXECUTION_FAILED', message, { cause }));
      return;
    }
    session.open.delete(request);
  }

  #refuse(request: ExecuteRequest, error: MeshError): void {
    const session = this.#settle(request);
    if (session === undefined) return;
    const { requestId } = request;
    session.link.send({
      type: 'execute-refused',
      requestId,
      error: error.toBody(),
      load: this.#load(session),
    });
  }

  /** The session that waits for the request's answer; undefined when it has ended. */
  #settle(request: ExecuteRequest): Session | undefined {
    return this.#session?.open.delete(request) ? this.#session : undefined;
  }

  #load(session: Session): Load {
    const rttMs = session.rttMs();
    const { lastSequence } = session;
    return { ...this.#executor.load(), lastSequence, ...(rttMs === undefined ? {} : { rttMs }) };
  }

  #replicasChanged(): void {
    this.#sendProfiles(this.#measurements.takeReports());
    this.#reportLoad();
  }

  #reportLoad(): void {
    const session = this.#session;
    if (session?.isWelcome !== true) return;
    session.link.send({ type: 'load-report', load: this.#load(session), replicas: this.#replicas.list() });
  }

  #sendProfiles(reports: readonly ProfileReport[]): void {
    if (this.#session?.isWelcome !== true) return;
    for (let start = 0; start < reports.length; start += REPORTS_PER_MESSAGE) {
      const part = reports.slice(start, start + REPORTS_PER_MESSAGE);
      this.#session.link.send({ type: 'profile-report', reports: part });
    }
  }

  async #reportEvery(session: Session, reportEveryMs: number): Promise<void> {
    const { clock } = this.#options;
    let profilesAt = clock.now() + PROFILE_EVERY_MS;
    while (!session.ended.signal.aborted) {
      try {
        await clock.sleep(reportEveryMs, session.ended.signal);
      } catch {
        return; // The session ended.
      }
      this.#reportLoad();
      if (clock.now() < profilesAt) continue;
      profilesAt = clock.now() + PROFILE_EVERY_MS;
      this.#sendProfiles(this.#measurements.takeReports());
    }
  }

  /** Forgets the link and what it wanted: nobody is left to answer to. */
  #endSession(): void {
    const session = this.#session;
    this.#session = undefined;
    session?.ended.abort();
    this.#executor.clear();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
