export {
  type Claims,
  createToken,
  ROLES,
  type Role,
  verifyToken,
} from './auth.ts';
export type { AppEnvironment } from './context.ts';
export {
  type Coordinator,
  createCoordinator,
} from './coordinator.ts';
export type {
  AttemptRecord,
  ChoiceRecord,
  DecisionRecord,
  DecisionSummary,
  OutcomeRecord,
} from './decisions.ts';
export {
  createMemoryAccounts,
  createMemoryArtifacts,
  createMemoryProfiles,
  createMemoryRegistry,
} from './drivers/memory.ts';
export type { Fleet } from './fleet.ts';
export type { FleetWorker, WorkerState } from './fleet-worker.ts';
export type {
  AssetSource,
  CoordinatorOptions,
  Log,
  PictureReader,
  Registrar,
  RegistrarEvent,
} from './options.ts';
export { type Measured, measuredBy, paretoTable } from './pareto.ts';
export { offlineRecord, rolledBackOffline } from './rollout/offline-record.ts';
export { taskInfo, tiersOf } from './task-info.ts';
