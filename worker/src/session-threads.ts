import type { Worker } from 'node:worker_threads';
import { MeshError } from '@nearfar/protocol';
import type { Engine } from './engine.ts';
import type {
  LoadedSession,
  MeasuredTimes,
  MeasureLimits,
  ModelSource,
  RunResult,
  SharedTensor,
  ThreadTensor,
} from './engine-messages.ts';
import { type EngineOptions, EngineThread } from './engine-thread.ts';

/**
 * An engine with a thread for each session, which is started for the load and ends with the unload: what a session is busy
 * with holds up no other one. A thread costs about 15 MB besides its model with onnxruntime, 40 MB with tfjs.
 */
export class SessionThreads implements Engine {
  readonly #options: EngineOptions;
  readonly #threads = new Map<string, EngineThread>();
  /** Given-up threads of all sessions: they take cores from each other, so they are counted together. */
  readonly #abandoned = new Set<Worker>();
  #isClosed = false;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  async load(session: string, source: ModelSource): Promise<LoadedSession> {
    await this.unload(session);
    if (this.#isClosed) throw new MeshError('MESH_EXECUTION_FAILED', 'The engine is closed');
    const thread = new EngineThread(this.#options, this.#abandoned);
    this.#threads.set(session, thread);
    try {
      return await thread.load(session, source);
    } catch (error) {
      await this.unload(session);
      throw error;
    }
  }

  async run(session: string, tensors: readonly (ThreadTensor | SharedTensor)[]): Promise<RunResult> {
    return await this.#threadOf(session).run(session, tensors);
  }

  async measure(
    session: string,
    tensors: readonly SharedTensor[],
    limits: MeasureLimits,
  ): Promise<MeasuredTimes> {
    return await this.#threadOf(session).measure(session, tensors, limits);
  }

  async unload(session: string): Promise<void> {
    const thread = this.#threads.get(session);
    this.#threads.delete(session);
    await thread?.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#threads.keys()].map((session) => this.unload(session)));
  }

  #threadOf(session: string): EngineThread {
    const thread = this.#threads.get(session);
    if (thread !== undefined) return thread;
    throw new MeshError('MESH_EXECUTION_FAILED', `No session "${session}" is loaded in this engine`);
  }
}
