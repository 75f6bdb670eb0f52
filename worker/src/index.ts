export { createWorker, type WorkerOptions } from './create-worker.ts';
export {
  type Detection,
  type DetectionHost,
  detectDevice,
  systemHost,
} from './detect-device.ts';
export { describeDevice, normaliseHardwareName } from './device-class.ts';
export type { ArtifactSource } from './download.ts';
export type { Engine } from './engine.ts';
export type {
  LoadedSession,
  MeasuredTimes,
  MeasureLimits,
  ModelFile,
  ModelSource,
  ProbeResult,
  Provider,
  RunResult,
  SharedTensor,
  ThreadTensor,
} from './engine-messages.ts';
export { type EngineOptions, EngineThread } from './engine-thread.ts';
export type { Log } from './log.ts';
export { type MemoryReading, MemoryWatch } from './memory-watch.ts';
export {
  type ConnectOptions,
  MeshWorker,
  type MeshWorkerOptions,
  type Worker,
  type WorkerParts,
} from './mesh-worker.ts';
export { type QueuedRequest, RequestQueue, type Taken } from './queue.ts';
export { SessionThreads } from './session-threads.ts';
export { systemClock } from './system-clock.ts';
