import type {
  AccountLog,
  ArtifactStore,
  BucketRule,
  Clock,
  NetworkPath,
  ProfileStore,
  RegisteredTask,
  RegistryStore,
  Solver,
  TaskRecord,
} from '@nearfar/core';
import type {
  ImagePreprocess,
  Prices,
  RegistrationEvent,
  RegistrationRequest,
  Tensor,
} from '@nearfar/protocol';

/** Turns a picture's bytes into the model's tensor, off the event loop. */
export interface PictureReader {
  /**
   * Decodes `body` and runs the task's preprocessing.
   *
   * Rejects with `MESH_BAD_MEDIA` when the bytes are no picture of that type, with `MESH_UNSUPPORTED_MEDIA_TYPE` when
   * the type is unknown, with the signal's reason when it aborts first.
   */
  toTensor(
    body: Uint8Array,
    contentType: string,
    rule: ImagePreprocess,
    signal?: AbortSignal,
  ): Promise<Tensor>;
  /** Rejects what is waiting. May be called twice. */
  close(): Promise<void>;
}

/** What a registrar says while it works; its end is the promise's. */
export type RegistrarEvent = Extract<RegistrationEvent, { type: 'progress' | 'variant' | 'note' }>;

/** Makes a task of a manifest and its files. */
export interface Registrar {
  /**
   * Reads the models, makes and tries their variants, and keeps all of their files in the artifact store.
   *
   * `known` is what the mesh holds of the task: a variant whose files are the same keeps its revision, one with other files
   * gets a number above all that `known` has of it. Rejects with a `MeshError` that says what was expected, and with the
   * signal's reason when it aborts first; what it has kept by then is used by the next try. `emit` may be called until the
   * promise settles.
   */
  register(
    request: RegistrationRequest,
    known: TaskRecord | undefined,
    emit: (event: RegistrarEvent) => void,
    signal: AbortSignal,
  ): Promise<RegisteredTask>;
}

/** The files of the console and the demo page. */
export interface AssetSource {
  /** The file at `path` (relative, no leading slash), or undefined when there is none. Never leaves its folder. */
  read(path: string): Promise<{ readonly bytes: Uint8Array; readonly contentType: string } | undefined>;
}

/** Takes structured log lines. Never gets payloads or tokens. */
export type Log = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** Everything from which a coordinator is built. */
export interface CoordinatorOptions {
  readonly clock: Clock;
  readonly registry: RegistryStore;
  readonly profiles: ProfileStore;
  readonly artifacts: ArtifactStore;
  readonly accounts: AccountLog;
  readonly prices: Prices;
  /** Signs and checks tokens and leases (HS256); at least 32 bytes. */
  readonly secret: Uint8Array;
  readonly pictures: PictureReader;
  /** Makes tasks of manifests; absent = the mesh takes no registrations over HTTP. */
  readonly registrar?: Registrar;
  /** Files of the console and the demo page; absent = no pages. */
  readonly assets?: AssetSource;
  /** Whether callers must show a token (default true). Health and pages are always open. */
  readonly isAuthRequired?: boolean;
  /** Origins that may call from a page; default: any when tokens are required, else none but our own. */
  readonly allowedOrigins?: readonly string[];
  /** Network that is assumed of a page that reports none; default a round trip of 50 ± 25 ms. */
  readonly unknownCallerNetwork?: NetworkPath;
  /** How often workers are to report their load, in milliseconds (default 1,000). */
  readonly reportEveryMs?: number;
  /** Calls that one token's subject may make; default 5,000 a second and 10,000 at once. */
  readonly callerRate?: BucketRule;
  /** Bytes of request bodies that are held at the same time; default 512 MiB. */
  readonly maxHeldBytes?: number;
  /**
   * Largest share of requests that are executed a second time because they take longer than predicted, 0 to 1; default 0.05,
   * 0 = never.
   */
  readonly maxHedgeShare?: number;
  /** Ids of the workers inside this process; nobody who dials in gets one of them. Default: none. */
  readonly embeddedWorkerIds?: readonly string[];
  /** Solves the slow loop's linear programs; absent = it plans greedily. */
  readonly solver?: Solver;
  /** Milliseconds between two plans (default 5,000). */
  readonly planEveryMs?: number;
  /**
   * Whether plans say which variants each worker holds (default false: each holds all that it can run). Nothing that was asked
   * for within the last hour finds itself refused by it, and every variant stays ready somewhere; but a caller who keeps off
   * a tier, or is in a greater hurry than anybody before, may find nothing where there would have been something until the
   * next plan, and a burst may find less capacity.
   */
  readonly planLoads?: boolean;
  readonly log: Log;
}
