export {
  type Detection,
  type DetectionHost,
  detectDevice,
  systemHost,
} from './detect-device.ts';
export { describeDevice, normaliseHardwareName } from './device-class.ts';
export { type Engine, type EngineOptions, EngineThread } from './engine.ts';
export type { LoadedSession, ProbeResult, Provider, RunResult, ThreadTensor } from './engine-messages.ts';
export type { Log } from './log.ts';
export { type QueuedRequest, RequestQueue, type Taken } from './queue.ts';
export type { ArtifactSource } from './replicas.ts';
export { systemClock } from './system-clock.ts';
export {
  type ConnectOptions,
  createWorker,
  MeshWorker,
  type Worker,
  type WorkerOptions,
  type WorkerParts,
} from './worker.ts';
