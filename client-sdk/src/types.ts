import type { Candidate, Prediction, Tensor, Tier } from '@nearfar/protocol';

/** The runtimes that a page can run variants on. */
export type EngineName = 'tfjs-webgpu' | 'ort-webgpu' | 'ort-wasm';

/** Options of `createMesh`. */
export interface MeshOptions {
  /** Where the mesh is, for example `https://mesh.example`. */
  readonly endpoint: string;
  /**
   * A client token; empty or absent where the mesh asks for none. Visitors can read it, so it should be short-lived: a
   * function is asked for each call to the mesh and may give a new one each time. Nothing is cached, and calls wait for
   * it, so it should keep its token as long as that holds.
   */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /**
   * Engines that may be used, most wanted first; default `['tfjs-webgpu', 'ort-wasm']`. An engine on WebGPU is passed
   * over where the browser has no adapter. Variants run on one kind of hardware at a time: the next engine is tried
   * only when no variant passed its self-test on the one before.
   */
  readonly engines?: readonly EngineName[] | undefined;
  /**
   * Folder with onnxruntime-web's `ort-wasm-simd-threaded*.{mjs,wasm}` of the SDK's version, relative to the page or
   * absolute; best on the page's own origin. Absent: wherever the bundler put them beside the engine.
   */
  readonly assetBase?: string | undefined;
  /**
   * Makes the Web Worker in which engines run, for set-ups whose bundler does not find it by itself:
   * `() => new Worker(new URL('@nearfar/client/engine-worker', import.meta.url), { type: 'module' })`.
   */
  readonly createWorker?: (() => Worker) | undefined;
}

/** What a request may carry: a picture in any of the platform's forms, or the model's tensors themselves. */
export type MeshInput =
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLImageElement
  | ImageBitmap
  | ImageData
  | Blob
  | Tensor
  | readonly Tensor[];

/** What a caller demands of one request. What is left out comes from the task's defaults. */
export interface InferOptions {
  /** Deadline in milliseconds, from the call to the settled promise. */
  readonly sloMs?: number | undefined;
  /** Share of requests that must meet the deadline, 0 to 1. */
  readonly sloTarget?: number | undefined;
  /** Lowest accuracy that will do, 0 to 1. */
  readonly minAccuracy?: number | undefined;
  /**
   * Accuracy that will still do where nothing of `minAccuracy` is on time, 0 to 1: a mesh that has too much to do then
   * answers by less rather than late. Default: none below `minAccuracy`.
   */
  readonly degradeTo?: number | undefined;
  /** Bound on the worst-case cost in US dollars. */
  readonly maxCostUsd?: number | undefined;
  readonly prefer?: 'cost' | 'accuracy' | undefined;
  /** `no_pool` keeps the payload off the pool, `local_only` keeps it in this page. */
  readonly privacy?: 'any' | 'no_pool' | 'local_only' | undefined;
  /**
   * Restricts the choice to one of the task's models, or names one of its cascades: then the small stage runs in this
   * page where it is ready, and the mesh is asked only about what that is not sure of. Without it a cascade answers where
   * it is the cheapest that meets what is demanded.
   */
  readonly model?: string | undefined;
  /** 1 is the highest, 0 (the default) ranks below every number. */
  readonly priority?: number | undefined;
  /** Hard stop in milliseconds, after which the call rejects; default ten deadlines, at least 5 s. */
  readonly timeoutMs?: number | undefined;
  /** What to do when no placement is predicted to be on time; default `best_effort`. */
  readonly onInfeasible?: 'best_effort' | 'reject' | undefined;
  /** Rejects the call with the signal's reason, and frees what it held. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether the answer carries every candidate with its numbers. What this page then answers by itself can also be
   * looked up at `GET /v1/decisions/{decisionId}`.
   */
  readonly explain?: boolean | undefined;
}

/** Where a request ran, how long it took and what it cost. Times in milliseconds. */
export interface AnswerPlacement {
  readonly tier: Tier;
  readonly variant: string;
  /** Id of the worker, or `page`. */
  readonly worker: string;
  /** Accuracy of the variant, 0 to 1. */
  readonly accuracy: number;
  /** It is below `minAccuracy`, as `degradeTo` allows; absent = it is not. */
  readonly degraded?: true;
  /** Predicted when it was placed, from the call to the settled promise. */
  readonly predictedMs: number;
  /** On the clock of whoever executed: the mesh for remote requests, this page for its own. */
  readonly totalMs: number;
  /** From the call to the settled promise, on this page's clock. */
  readonly clientMs: number;
  readonly costUsd: number;
  /** Whether `clientMs` is within the deadline. */
  readonly sloMet: boolean;
  readonly decisionId: string;
  /** Of a cascade's answer: the stage that it rests on. `variant` and `accuracy` are then the cascade's. */
  readonly cascadeStage?: 'small' | 'large';
}

/** An answered request. */
export interface Answer {
  /** Best first; empty for tasks and batches whose outputs are plain tensors. */
  readonly predictions: readonly Prediction[];
  readonly outputs: readonly Tensor[];
  readonly placement: AnswerPlacement;
  /** What this page weighed, when `explain` was asked for: every candidate, its numbers and why not. */
  readonly explanation?: readonly Candidate[];
}

/** How far a preparation is. */
export interface PrepareProgress {
  readonly task: string;
  /** The variant that is worked on; absent while several are. */
  readonly variant?: string;
  readonly phase: 'download' | 'load' | 'test' | 'measure' | 'ready';
  /** Bytes that are here already, from the cache or the network. */
  readonly loadedBytes: number;
  /** Bytes that the preparation needs in all, before compression; grows only when a variant fails and another stands in. */
  readonly totalBytes: number;
}

/** Options of `prepare`. */
export interface PrepareOptions {
  readonly onProgress?: ((progress: PrepareProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Variants with more bytes than this stay remote; default 2 MB. */
  readonly maxVariantBytes?: number | undefined;
  /**
   * Accuracy that this page's requests demand, 0 to 1; default: the task's own. Where no variant that fits reaches it by
   * itself, the small stage of a cascade that does is preferred.
   */
  readonly minAccuracy?: number | undefined;
}

/** A variant that passed its self-test on this device and is warm. */
export interface ReadyVariant {
  readonly task: string;
  readonly variant: string;
  readonly engine: EngineName;
  /** Mean of the measured runs, in milliseconds. */
  readonly meanMs: number;
  readonly runs: number;
}

/** A variant that this device does not run, and why. */
export interface UnavailableVariant {
  readonly task: string;
  readonly variant: string;
  readonly reason: string;
}

/** What this device is; coarse on purpose, nothing in it identifies a visitor. */
export interface DeviceInfo {
  /** Shared by devices that perform alike, for example `webgpu:google-swiftshader` or `wasm:x64-2`. */
  readonly deviceClass: string;
  /** What was found of WebGPU, for people. */
  readonly webgpu: string;
}

/** State of a mesh in this page. */
export interface MeshStatus {
  /** Absent until the first `prepare` has looked. */
  readonly device: DeviceInfo | undefined;
  readonly ready: readonly ReadyVariant[];
  readonly unavailable: readonly UnavailableVariant[];
  /** `memory`: this browser keeps no files for us, so they are downloaded again on each visit. */
  readonly cache: 'persistent' | 'memory';
  /** Decisions that this page made, and those of them that waited for the network, since there was no lease that held. */
  readonly decisions: { readonly total: number; readonly waited: number };
}

/** What `addEventListener` reports, by event type; each arrives as a `CustomEvent` whose `detail` is this. */
export interface MeshEvents {
  readonly progress: PrepareProgress;
  /** A request was answered. */
  readonly outcome: AnswerPlacement & { readonly task: string };
  /** The device was found, or what it can run has changed. */
  readonly device: DeviceInfo;
  /** Files cannot be kept (no room, no permission): they live in memory until the page goes. */
  readonly cache: { readonly reason: string };
  /** A tier failed and the request went on elsewhere. */
  readonly failover: { readonly task: string; readonly from: Tier; readonly reason: string };
}

/** A mesh as a page sees it. */
export interface Mesh {
  /**
   * Makes this device a place where the task's requests can run: downloads, loads, self-tests and measures one variant
   * of each model, the smallest that the device can run and that is accurate enough, by itself or as the small stage of a
   * cascade.
   * Optional: requests go elsewhere until it is done. Callers that ask at the same time share the work. When the task has
   * got a newer revision, variants that it no longer has are let go (a `device` event tells), and the next call loads its
   * new ones.
   *
   * @throws MeshError `MESH_DEVICE_UNAVAILABLE` when no variant can run here, with the reasons in `details`, or when the
   * page comes neither by HTTPS nor from localhost.
   */
  prepare(task: string, options?: PrepareOptions): Promise<readonly ReadyVariant[]>;
  /**
   * Turns a picture into the model's tensors, as `infer` does by itself: for callers that put several pictures into
   * one batch, or that send them elsewhere. The same file gives the same numbers here and on the mesh. Tensors are made
   * for the task as it is known now; those that are kept for later do not follow a revision with another preprocessing.
   *
   * @throws MeshError `MESH_BAD_MEDIA`.
   */
  preprocess(
    task: string,
    input: MeshInput,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<readonly Tensor[]>;
  /**
   * Answers one request wherever it is cheapest and still on time.
   *
   * @throws MeshError with a code of the mesh's table, or the signal's reason.
   */
  infer(task: string, input: MeshInput, options?: InferOptions): Promise<Answer>;
  status(): MeshStatus;
  addEventListener<Type extends keyof MeshEvents>(
    type: Type,
    listener: (event: CustomEvent<MeshEvents[Type]>) => void,
    options?: AddEventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof MeshEvents>(
    type: Type,
    listener: (event: CustomEvent<MeshEvents[Type]>) => void,
  ): void;
  /** Ends the engines, reports what is left to report and rejects what is under way. May be called twice. */
  close(): Promise<void>;
}
