export { createMesh } from './mesh.ts';
export type {
  Answer,
  AnswerPlacement,
  DeviceInfo,
  EngineName,
  InferOptions,
  Mesh,
  MeshEvents,
  MeshInput,
  MeshOptions,
  MeshStatus,
  PrepareOptions,
  PrepareProgress,
  ReadyVariant,
  UnavailableVariant,
} from './types.ts';
