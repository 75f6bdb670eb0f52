import type {
  LoadedSession,
  MeasuredTimes,
  MeasureLimits,
  ModelSource,
  RunResult,
  SharedTensor,
  ThreadTensor,
} from './engine-messages.ts';

/**
 * What runs sessions in one slot, as the rest of the worker sees it. Calls on one session are answered in order, one at a
 * time. The executor runs one batch at a time in a slot; a session that is being loaded and measured is not yet one of those.
 */
export interface Engine {
  /**
   * Loads a session under a name. The bytes stay shared, so that it can be loaded again when its thread is lost.
   * Rejects with `MESH_VARIANT_FAILED`, naming the runtime's reason.
   */
  load(session: string, source: ModelSource): Promise<LoadedSession>;
  /**
   * Runs a loaded session. The buffers of thread tensors are handed over and unusable afterwards. Rejects with
   * `MESH_EXECUTION_FAILED`.
   */
  run(session: string, tensors: readonly (ThreadTensor | SharedTensor)[]): Promise<RunResult>;
  /**
   * Runs a loaded session some times in its thread, so that the thread which serves is not woken by each run. Rejects with
   * `MESH_EXECUTION_FAILED`.
   */
  measure(session: string, tensors: readonly SharedTensor[], limits: MeasureLimits): Promise<MeasuredTimes>;
  unload(session: string): Promise<void>;
  close(): Promise<void>;
}
