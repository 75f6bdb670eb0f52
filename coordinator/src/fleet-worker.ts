import { type Clock, type CoordinatorSideLink, LoadView } from '@nearfar/core';
import {
  CLOSE_CODES,
  checkSignature,
  type ExecuteResult,
  type Load,
  MeshError,
  type Replica,
  type Tensor,
  type VariantSpec,
  type WorkerHello,
  type WorkerMessage,
} from '@nearfar/protocol';

/** Reports in a row that a worker may owe until it counts as silent and gets no more work. */
export const SILENT_AFTER_REPORTS = 3;
/** Reports in a row after which its link is given up: nobody is at its other end. */
export const LOST_AFTER_REPORTS = 10;

/** A request on its way to a worker. */
export interface Execution {
  readonly requestId: string;
  readonly spec: VariantSpec;
  readonly tensors: readonly Tensor[];
  /** Inputs along the batch axis. */
  readonly rows: number;
  /** Predicted milliseconds of compute, for the load view until the worker reports. */
  readonly serviceMs: number;
  /** Milliseconds after which the worker need not start any more. */
  readonly budgetMs: number;
  /** Milliseconds after which the caller gets `MESH_DEADLINE_EXCEEDED`. */
  readonly timeoutMs: number;
  readonly priority: number;
  readonly signal: AbortSignal;
}

/** A worker's answer. */
export interface Executed {
  readonly result: ExecuteResult;
  readonly outputs: readonly Tensor[];
}

type ReplicaName = Pick<Replica, 'task' | 'variant' | 'revision'>;

interface InFlight {
  readonly resolve: (executed: Executed) => void;
  readonly reject: (error: unknown) => void;
}

/** What a worker is doing, as `GET /v1/workers` shows it. */
export type WorkerState = 'active' | 'draining' | 'silent';

/** One connected worker: its session, its load, its replicas and the requests under way. */
export class FleetWorker {
  readonly hello: WorkerHello;
  readonly sessionId: string = crypto.randomUUID();
  /** ISO 8601, UTC. */
  readonly connectedAt: string;
  readonly load: LoadView;
  readonly #clock: Clock;
  readonly #link: CoordinatorSideLink;
  readonly #replicas = new Map<string, Replica>();
  readonly #assigned = new Map<string, VariantSpec>();
  readonly #inFlight = new Map<string, InFlight>();
  #sequence = 0;
  #owedReports = 0;
  #isDraining = false;

  constructor(hello: WorkerHello, link: CoordinatorSideLink, clock: Clock) {
    this.hello = hello;
    this.#link = link;
    this.#clock = clock;
    this.connectedAt = new Date(clock.wallTime()).toISOString();
    this.load = new LoadView(hello.slots);
  }

  get id(): string {
    return this.hello.workerId;
  }

  /** Requests that may be under way at once. */
  get credits(): number {
    return this.hello.slots + this.hello.queueCapacity;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Bytes on their way to the worker that have not left this process yet. */
  get bufferedBytes(): number {
    return this.#link.bufferedBytes;
  }

  /** Reports in a row that it owes. */
  get owedReports(): number {
    return this.#owedReports;
  }

  get state(): WorkerState {
    if (this.#owedReports >= SILENT_AFTER_REPORTS) return 'silent';
    return this.#isDraining ? 'draining' : 'active';
  }

  /**
   * Notes that another report is due. Counted instead of timed, so that a process that stood still itself does not take
   * its workers for silent: it has heard nobody, but it has not listened either.
   */
  expectReport(): void {
    this.#owedReports += 1;
  }

  replicas(): readonly Replica[] {
    return [...this.#replicas.values()];
  }

  /** Whether it has what runs the variant's format; a cascade is run by the mesh, not by a worker. */
  canRun({ format }: VariantSpec): boolean {
    return format !== 'cascade' && this.hello.formats.includes(format);
  }

  /** How far the worker is with this very revision of a variant. */
  replica(spec: VariantSpec): Replica | undefined {
    return this.#replicas.get(keyOf(spec));
  }

  /**
   * Brings the worker to hold exactly those of `specs` that it can run, where need be in two revisions. One that failed is
   * tried again when it was registered anew: its self-test may be another.
   */
  assign(specs: readonly VariantSpec[]): void {
    const wanted = new Map(specs.filter((spec) => this.canRun(spec)).map((spec) => [keyOf(spec), spec]));
    for (const [key, spec] of this.#assigned) {
      if (wanted.has(key)) continue;
      this.#assigned.delete(key);
      // What it said of it no longer holds, and is not to be believed when it comes again.
      this.#replicas.delete(key);
      this.#unload(spec);
    }
    for (const [key, spec] of wanted) {
      const known = this.#assigned.get(key);
      const isFailed = this.#replicas.get(key)?.state === 'failed';
      if (known !== undefined && (known === spec || !isFailed)) continue;
      this.#assigned.set(key, spec);
      this.#replicas.delete(key);
      this.#link.send({ type: 'variant-load', spec });
    }
  }

  /**
   * Runs a request on the worker.
   *
   * Rejects with the worker's refusal, `MESH_WORKER_LOST`, `MESH_DEADLINE_EXCEEDED` after `timeoutMs`, or
   * `MESH_CANCELLED` when the signal aborts; the last two also cancel the work in the worker.
   */
  async execute(execution: Execution): Promise<Executed> {
    const { requestId, spec, signal, timeoutMs } = execution;
    if (signal.aborted) throw cancelled();
    if (this.state !== 'active') throw this.#lost(`is ${this.state}`);
    if (this.#inFlight.size >= this.credits) {
      throw new MeshError(
        'MESH_QUEUE_FULL',
        `Worker "${this.id}" has all of its ${this.credits} credits in use`,
      );
    }
    const settled = new AbortController();
    const { promise, resolve, reject } = Promise.withResolvers<Executed>();
    this.#inFlight.set(requestId, { resolve, reject });
    const giveUp = (error: MeshError) => {
      this.#link.send({ type: 'execute-cancel', requestId });
      reject(error);
    };
    const onAbort = () => giveUp(cancelled());
    signal.addEventListener('abort', onAbort, { once: true });
    this.#clock.sleep(timeoutMs, settled.signal).then(
      () => giveUp(deadlineExceeded(timeoutMs)),
      () => undefined, // Settled first: the timer is no longer needed.
    );
    try {
      this.#send(execution);
      const executed = await promise;
      checkOutputs(spec, execution.rows, executed);
      return executed;
    } finally {
      settled.abort();
      signal.removeEventListener('abort', onAbort);
      this.#inFlight.delete(requestId);
    }
  }

  /** @throws MeshError `MESH_BAD_FRAME` when the tensors do not fit a frame. */
  #send({ requestId, spec, budgetMs, priority, serviceMs, tensors }: Execution): void {
    const { task, variant, revision } = spec;
    const sequence = this.#sequence + 1;
    this.#link.send(
      { type: 'execute-request', requestId, sequence, task, variant, revision, budgetMs, priority },
      tensors,
    );
    this.#sequence = sequence;
    this.load.dispatched(sequence, serviceMs);
  }

  /** Takes in a message of this session. Profile reports are the fleet's business. */
  receive(message: WorkerMessage, tensors: readonly Tensor[]): void {
    this.#owedReports = 0;
    switch (message.type) {
      case 'load-report':
        this.#reported(message.load);
        this.#replicas.clear();
        for (const replica of message.replicas) {
          if (this.#isWanted(replica)) this.#replicas.set(keyOf(replica), replica);
        }
        // It came back with what was given up while its link was lost, or has not heard of that yet.
        for (const replica of message.replicas) if (!this.#isWanted(replica)) this.#unload(replica);
        break;
      case 'execute-result':
        this.#reported(message.load);
        this.#inFlight.get(message.requestId)?.resolve({ result: message, outputs: tensors });
        break;
      case 'execute-refused':
        this.#reported(message.load);
        this.#inFlight.get(message.requestId)?.reject(MeshError.fromBody(message.error));
        break;
      case 'worker-drain':
        this.#isDraining = true;
        break;
      case 'worker-hello':
      case 'profile-report':
        break;
    }
  }

  /** Gives up every request under way: they are decided again elsewhere. */
  lose(why: string): void {
    for (const { reject } of this.#inFlight.values()) reject(this.#lost(why));
    this.#inFlight.clear();
  }

  /** Ends the session. */
  close(code: number = CLOSE_CODES.lost, reason = 'lost'): void {
    this.lose(reason);
    this.#link.close(code, reason);
  }

  #isWanted(replica: ReplicaName): boolean {
    return this.#assigned.has(keyOf(replica));
  }

  #unload({ task, variant, revision }: ReplicaName): void {
    this.#link.send({ type: 'variant-unload', task, variant, revision });
  }

  #reported(load: Load): void {
    // A worker that resumed may still count in its former session's numbers; ours are what it can have seen.
    const lastSequence = Math.min(load.lastSequence, this.#sequence);
    this.load.reported({ ...load, lastSequence }, this.#clock.now());
  }

  #lost(why: string): MeshError {
    return new MeshError('MESH_WORKER_LOST', `Worker "${this.id}" ${why}`);
  }
}

/** A worker is believed in what it measures, not in what it answers: that has to be what was asked for. */
function checkOutputs(spec: VariantSpec, rows: number, { outputs }: Executed): void {
  // A model may give more than its task names.
  const named = outputs.filter(({ name }) => spec.outputs.some((output) => output.name === name));
  try {
    checkSignature(named, spec.outputs);
    if (!spec.isBatchable || named.every(({ shape }) => shape[0] === rows)) return;
  } catch (cause) {
    throw new MeshError(
      'MESH_EXECUTION_FAILED',
      `The worker gave other outputs: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
  throw new MeshError('MESH_EXECUTION_FAILED', `Expected the worker to give ${rows} rows of each output`);
}

function cancelled(): MeshError {
  return new MeshError('MESH_CANCELLED', 'The caller went away');
}

function deadlineExceeded(timeoutMs: number): MeshError {
  return new MeshError(
    'MESH_DEADLINE_EXCEEDED',
    `No answer within the last ${Math.round(timeoutMs)} ms of the time limit`,
  );
}

function keyOf({ task, variant, revision }: ReplicaName): string {
  return `${task}/${variant}/${revision}`;
}
