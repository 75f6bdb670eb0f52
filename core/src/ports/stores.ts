import type {
  AudioPreprocess,
  ImagePreprocess,
  Manifest,
  RejectedVariant,
  Rollout,
  VariantSpec,
} from '@nearfar/protocol';
import type { StoredReport } from '../profile.ts';

/** One revision of a task. */
export interface RegisteredTask {
  readonly task: string;
  /** Grows by one with each registration that changed something; from 1. */
  readonly revision: number;
  readonly kind: Manifest['kind'];
  readonly labels: readonly string[];
  /** How a picture becomes the task's input. */
  readonly preprocess?: ImagePreprocess;
  /** How a sound does, frame by frame. */
  readonly audio?: AudioPreprocess;
  readonly postprocess?: Manifest['postprocess'];
  readonly defaults: NonNullable<Manifest['defaults']>;
  readonly variants: readonly VariantSpec[];
  /** What was made or supplied and is not served, with the reasons. */
  readonly rejected: readonly RejectedVariant[];
  /** Says what it was made from: SHA-256 over the manifest and the hashes of its model files. */
  readonly source: string;
  /** ISO 8601, UTC. */
  readonly registeredAt: string;
}

/** All that the registry knows of a task: what is served, what came before it and what comes next. */
export interface TaskRecord {
  readonly active: RegisteredTask;
  /** What a rollback brings back. */
  readonly previous?: RegisteredTask;
  /** A newer revision that workers hold or load, and how traffic moves to it. */
  readonly next?: { readonly task: RegisteredTask; readonly rollout: Rollout };
  /**
   * The highest numbers that revisions of the task and of each variant were given; absent where the revisions above show
   * them. A number stands for files in workers, profiles and pages, so none is given twice, not even one that was dropped.
   */
  readonly highest?: { readonly task: number; readonly variants: Readonly<Record<string, number>> };
}

/** Tasks and their variants. A `put` is atomic: after a crash the task is there as before or as put, never in between. */
export interface RegistryStore {
  list(): Promise<TaskRecord[]>;
  put(record: TaskRecord): Promise<void>;
  /** Forgets a task; one that is not there is no error. */
  delete(task: string): Promise<void>;
  close(): Promise<void>;
}

/** Profile reports, one for each (reporter, profile, batch): the newest saved one is what `list` gives. */
export interface ProfileStore {
  list(): Promise<StoredReport[]>;
  save(reports: readonly StoredReport[]): Promise<void>;
  /** Forgets every report of these variants; one that is not there is no error. */
  delete(variants: readonly Pick<VariantSpec, 'task' | 'variant' | 'revision'>[]): Promise<void>;
  close(): Promise<void>;
}

/** A smaller form of a file, for whoever can unpack it. */
export interface PackedArtifact {
  readonly encoding: ContentEncoding;
  readonly sizeBytes: number;
  /** The bytes from `start` up to, not including, `end`. */
  read(start: number, end: number): Promise<Uint8Array>;
}

/** How a packed file is packed, in HTTP's words (`br` = Brotli). */
export type ContentEncoding = 'br' | 'gzip';

/** Content-addressed, immutable files. */
export interface ArtifactStore {
  /** Size of a file, or undefined when it is not there. */
  sizeOf(sha256: string): Promise<number | undefined>;
  /** The bytes from `start` up to, not including, `end`. Rejects with `MESH_UNKNOWN_ARTIFACT` when it is not there. */
  read(sha256: string, start?: number, end?: number): Promise<Uint8Array>;
  /**
   * Keeps `content`, whole or as it arrives, and gives its address. Atomic; storing the same bytes again changes nothing.
   * Rejects with `MESH_STORAGE_FULL` when there is no room, with `MESH_BODY_TOO_LARGE` beyond `LIMITS.maxArtifactBytes`,
   * with `MESH_BAD_REQUEST` when `sha256` is given and is not its address, leaving nothing behind.
   */
  write(
    content: Uint8Array | AsyncIterable<Uint8Array>,
    sha256?: string,
  ): Promise<{ sha256: string; sizeBytes: number }>;
  /**
   * A smaller form of a file in one of the encodings, the first being liked best. Undefined where the driver has none
   * (yet), and where it would save less than 5 %. Absent = the driver never has any.
   */
  packed?(sha256: string, encodings: readonly ContentEncoding[]): Promise<PackedArtifact | undefined>;
  /** Forgets a file; one that is not there is no error. */
  delete(sha256: string): Promise<void>;
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
  /**
   * Busy milliseconds of a second execution whose answer was not needed. The caller is not charged for them; absent = there
   * was none, or it never ran.
   */
  readonly wastedMs?: number;
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
