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
import { after } from './after.ts';

/** Reports in a row that a worker may owe until it counts as silent and gets no more work. */
export const SILENT_AFTER_REPORTS = 3;
/** Reports in a row after which its link is given up: nobody is at its other end. */
export const LOST_AFTER_REPORTS = 10;

/** A request on its way to a worker. */
export interface Execution {
  /** Unique among all executions, also those of the same request. */
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
  /** Hears what came of it once `signal` has aborted: the result of work that had begun, or undefined where none had. */
  readonly onLate?: (result: ExecuteResult | undefined) => void;
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
  /** Who wants to know what came of a cancelled request. */
  readonly #late = new Map<string, (result: ExecuteResult | undefined) => void>();
  /** When each variant was last asked for, on the monotonic clock. */
  readonly #usedAt = new Map<string, number>();
  #sequence = 0;
  #owedReports = 0;
  #isDraining = false;
  #ready: readonly Replica[] = [];
  readonly #onChange: () => void;

  /** @param onChange called after anything has changed that says whether, and how soon, it can run something. */
  constructor(
    hello: WorkerHello,
    link: CoordinatorSideLink,
    clock: Clock,
    onChange: () => void = () => undefined,
  ) {
    this.hello = hello;
    this.#onChange = onChange;
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
    this.#onChange();
  }

  replicas(): readonly Replica[] {
    return [...this.#replicas.values()];
  }

  /** Whether it has what runs the variant's format; a cascade is run by the mesh, not by a worker. */
  canRun({ format }: VariantSpec): boolean {
    return format !== 'cascade' && this.hello.formats.includes(format);
  }

  /** What it holds warm; the same list until that changes. */
  get ready(): readonly Replica[] {
    return this.#ready;
  }

  /** How far the worker is with this very revision of a variant. */
  replica(spec: VariantSpec): Replica | undefined {
    return this.#replicas.get(knownKey(spec));
  }

  /** Whether it was told to hold this revision of a variant. */
  isAssigned(spec: VariantSpec): boolean {
    return this.#assigned.has(keyOf(spec));
  }

  /** When it was last given a request for this revision of a variant, on the monotonic clock. */
  usedAt(spec: VariantSpec): number | undefined {
    return this.#usedAt.get(keyOf(spec));
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
      this.#usedAt.delete(key);
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
    this.#noteReady();
    this.#onChange();
  }

  /**
   * Runs a request on the worker.
   *
   * Rejects with the worker's refusal, `MESH_WORKER_LOST`, `MESH_DEADLINE_EXCEEDED` after `timeoutMs`, or
   * `MESH_CANCELLED` when the signal aborts; the last two also cancel the work in the worker.
   */
  async execute(execution: Execution): Promise<Executed> {
    const { requestId, spec, signal, timeoutMs, onLate } = execution;
    if (signal.aborted) {
      onLate?.(undefined);
      throw cancelled();
    }
    if (this.state !== 'active') throw this.#lost(`is ${this.state}`);
    if (this.#inFlight.size >= this.credits) {
      throw new MeshError(
        'MESH_QUEUE_FULL',
        `Worker "${this.id}" has all of its ${this.credits} credits in use`,
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<Executed>();
    this.#inFlight.set(requestId, { resolve, reject });
    const giveUp = (error: MeshError) => {
      this.#link.send({ type: 'execute-cancel', requestId });
      reject(error);
    };
    const onAbort = () => {
      if (!this.#inFlight.has(requestId)) return; // Answered, though nobody has heard of it yet.
      if (onLate !== undefined) this.#late.set(requestId, onLate);
      giveUp(cancelled());
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const stopTimer = after(this.#clock, timeoutMs, () => giveUp(deadlineExceeded(timeoutMs)));
    try {
      this.#send(execution);
      const executed = await promise;
      checkOutputs(spec, execution.rows, executed);
      return executed;
    } finally {
      stopTimer();
      signal.removeEventListener('abort', onAbort);
      // An answer took it out already, and said so.
      if (this.#inFlight.delete(requestId)) this.#onChange();
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
    const now = this.#clock.now();
    this.#usedAt.set(keyOf(spec), now);
    this.load.dispatched(sequence, serviceMs, now, priority);
    this.#onChange();
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
        this.#noteReady();
        break;
      case 'execute-result':
        this.#reported(message.load);
        this.#take(message.requestId, message)?.resolve({ result: message, outputs: tensors });
        break;
      case 'execute-refused':
        this.#reported(message.load);
        this.#take(message.requestId)?.reject(MeshError.fromBody(message.error));
        break;
      case 'worker-drain':
        this.#isDraining = true;
        break;
      case 'worker-hello':
      case 'profile-report':
        break;
    }
    this.#onChange();
  }

  /** Gives up every request under way: they are decided again elsewhere. */
  lose(why: string): void {
    for (const { reject } of this.#inFlight.values()) reject(this.#lost(why));
    this.#inFlight.clear();
    for (const onLate of this.#late.values()) onLate(undefined);
    this.#late.clear();
    this.#onChange();
  }

  /** Ends the session. */
  close(code: number = CLOSE_CODES.lost, reason = 'lost'): void {
    this.lose(reason);
    this.#link.close(code, reason);
  }

  /** Who waits for an answer that has come; of one that was cancelled, only what came of it is told. */
  #take(requestId: string, result?: ExecuteResult): InFlight | undefined {
    const waiting = this.#inFlight.get(requestId);
    this.#inFlight.delete(requestId);
    this.#late.get(requestId)?.(result);
    this.#late.delete(requestId);
    return waiting;
  }

  #noteReady(): void {
    const ready = [...this.#replicas.values()].filter(({ state }) => state === 'ready');
    const isSame =
      ready.length === this.#ready.length &&
      ready.every((replica, index) => {
        const known = this.#ready[index];
        return known !== undefined && keyOf(known) === keyOf(replica);
      });
    if (!isSame) this.#ready = ready;
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

const KEYS = new WeakMap<VariantSpec, string>();

/** `keyOf` a registered variant, which is asked for with each request. */
function knownKey(spec: VariantSpec): string {
  let key = KEYS.get(spec);
  if (key === undefined) {
    key = keyOf(spec);
    KEYS.set(spec, key);
  }
  return key;
}

function keyOf({ task, variant, revision }: ReplicaName): string {
  return `${task}/${variant}/${revision}`;
}
