import type { Clock, WorkerSideLink } from '@nearfar/core';
import {
  type CoordinatorMessage,
  type Device,
  type ExecuteRequest,
  LIMITS,
  LINK_PROTOCOL,
  MeshError,
  type Tensor,
} from '@nearfar/protocol';
import type { ArtifactSource } from './download.ts';
import type { Engine } from './engine.ts';
import { Executor } from './executor.ts';
import type { Log } from './log.ts';
import { Measurements } from './measurements.ts';
import { ReplicaSet } from './replicas.ts';
import { Session } from './session.ts';

/** Live measurements go out about this often. */
const PROFILE_EVERY_MS = 5_000;
const DEFAULT_QUEUE_CAPACITY = 128;
const DEFAULT_MAX_BATCH = 16;

export interface MeshWorkerOptions {
  readonly workerId: string;
  readonly tier: 'edge' | 'pool';
  /** Requests that may wait; default 128. */
  readonly queueCapacity?: number;
  /** Largest batch, in inputs; default 16. */
  readonly maxBatch?: number;
  /**
   * Longest time in milliseconds that a request waits for others to fill its batch while a slot is idle; default 0. Worth it
   * only on a device that gains from batches and is paid by its busy time: where it is short of capacity, its queue fills
   * batches by itself.
   */
  readonly maxBatchWaitMs?: number;
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

/** The parts of a worker that tests bring themselves. */
export interface WorkerParts {
  readonly device: Device;
  readonly findings: readonly string[];
  /** One a slot, at least one. */
  readonly engines: readonly Engine[];
}

/** A worker over given engines; `createWorker` is the way to a real one. */
export class MeshWorker implements Worker {
  readonly device: Device;
  readonly findings: readonly string[];
  readonly #options: MeshWorkerOptions;
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

  constructor(options: MeshWorkerOptions, { device, findings, engines }: WorkerParts) {
    const { artifacts, clock, log, maxBatch = DEFAULT_MAX_BATCH, maxBatchWaitMs = 0 } = options;
    this.device = device;
    this.findings = findings;
    this.#options = options;
    this.#engines = engines;
    this.#queueCapacity = Math.min(LIMITS.maxWorkerQueue, options.queueCapacity ?? DEFAULT_QUEUE_CAPACITY);
    const measurements = new Measurements(device.deviceClass, clock);
    this.#measurements = measurements;
    this.#executor = new Executor({
      engines,
      measurements,
      queueCapacity: this.#queueCapacity,
      maxBatch,
      maxBatchWaitMs,
      clock,
      ready: (request) => this.#replicas.ready(request),
      onResult: (request, tensors, times) => this.#session?.answer(request, tensors, times),
      onRefused: (request, error) => this.#session?.refuse(request, error),
    });
    this.#replicas = new ReplicaSet({
      engines,
      artifacts,
      measurements,
      traffic: this.#executor,
      maxBatch,
      clock,
      log,
      onChange: () => this.#replicasChanged(),
    });
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  connect(link: WorkerSideLink, { rttMs = () => undefined }: ConnectOptions = {}): void {
    this.#endSession();
    const session = new Session({ link, rttMs, load: () => this.#executor.load() });
    this.#session = session;
    link.onClose(() => {
      if (this.#session === session) this.#endSession();
    });
    link.onMessage((message, tensors) => {
      if (this.#session === session) this.#receive(session, message, tensors);
    });
    const { workerId, tier, usdPerHour } = this.#options;
    session.hello({
      type: 'worker-hello',
      protocol: LINK_PROTOCOL,
      workerId,
      tier,
      device: this.device,
      slots: this.#engines.length,
      queueCapacity: this.#queueCapacity,
      // tfjs runs on the CPU here, so a worker that stands for a GPU does not offer it.
      formats: this.device.kind === 'cpu' ? ['onnx', 'tfjs'] : ['onnx'],
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
    this.#session?.drain(reason);
    await this.#executor.idle();
    this.#session?.reportProfiles(this.#measurements.takeReports());
    await this.close();
  }

  async #close(): Promise<void> {
    const session = this.#session;
    this.#endSession();
    session?.close(this.#draining === undefined ? 'closed' : 'drained');
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
        session.welcome();
        session.reportLoad(this.#replicas.list());
        session.reportProfiles(this.#measurements.allReports());
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
    session.receive(request);
    if (this.#draining !== undefined) {
      session.refuse(
        request,
        new MeshError('MESH_DRAINING', `Worker "${this.#options.workerId}" is draining`),
      );
      return;
    }
    this.#executor.submit(request, tensors);
  }

  #replicasChanged(): void {
    this.#session?.reportProfiles(this.#measurements.takeReports());
    this.#session?.reportLoad(this.#replicas.list());
  }

  async #reportEvery(session: Session, reportEveryMs: number): Promise<void> {
    const { clock } = this.#options;
    let profilesAt = clock.now() + PROFILE_EVERY_MS;
    while (!session.ended.aborted) {
      try {
        await clock.sleep(reportEveryMs, session.ended);
      } catch {
        return; // The session ended.
      }
      session.reportLoad(this.#replicas.list());
      if (clock.now() < profilesAt) continue;
      profilesAt = clock.now() + PROFILE_EVERY_MS;
      session.reportProfiles(this.#measurements.takeReports());
    }
  }

  /** Forgets the link and what it wanted: nobody is left to answer to. */
  #endSession(): void {
    this.#session?.end();
    this.#session = undefined;
    this.#executor.clear();
  }
}
