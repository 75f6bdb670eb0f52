import type { Manifest, VariantSpec } from '@nearfar/protocol';
import type { StoredReport } from '../profile.ts';

/** A task as the registry keeps it. */
export interface RegisteredTask {
  readonly task: string;
  readonly kind: Manifest['kind'];
  readonly labels: readonly string[];
  readonly preprocess?: Manifest['preprocess'];
  readonly postprocess?: Manifest['postprocess'];
  readonly defaults: NonNullable<Manifest['defaults']>;
  readonly variants: readonly VariantSpec[];
}

/** Tasks and their variants. A `put` is atomic: after a crash the task is there as before or as put, never in between. */
export interface RegistryStore {
  list(): Promise<RegisteredTask[]>;
  put(task: RegisteredTask): Promise<void>;
  close(): Promise<void>;
}

/** Profile reports, one for each (reporter, profile, batch): the newest saved one is what `list` gives. */
export interface ProfileStore {
  list(): Promise<StoredReport[]>;
  save(reports: readonly StoredReport[]): Promise<void>;
  close(): Promise<void>;
}

/** Content-addressed, immutable files. */
export interface ArtifactStore {
  /** Size of a file, or undefined when it is not there. */
  sizeOf(sha256: string): Promise<number | undefined>;
  /** The bytes from `start` up to, not including, `end`. Rejects with `MESH_UNKNOWN_ARTIFACT` when it is not there. */
  read(sha256: string, start?: number, end?: number): Promise<Uint8Array>;
  /** Keeps `bytes` and gives their address. Atomic; storing the same bytes again changes nothing. */
  write(bytes: Uint8Array): Promise<{ sha256: string; sizeBytes: number }>;
  close(): Promise<void>;
}

/** What one request cost. Never holds a payload. */
export interface AccountRecord {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly requestId: string;
  readonly decisionId: string;
  readonly subject: string;
  readonly task: string;
  readonly variant: string;
  readonly tier: 'browser' | 'edge' | 'pool';
  readonly worker: string;
  readonly status: 'ok' | 'failed' | 'cancelled';
  readonly busyMs: number;
  readonly batchSize: number;
  readonly costPicoUsd: number;
  /** `measured` by the mesh, or `reported` by a page (a hint). */
  readonly source: 'measured' | 'reported';
}

/** An append-only log: what was appended is never changed. */
export interface AccountLog {
  append(record: AccountRecord): void;
  /** Resolves when all that was appended is on the medium. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
