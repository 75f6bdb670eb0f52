import { CalibrationBook, EscalationBook } from '@nearfar/core';
import { MeshError, type Parameters, type TaskInfo, type Tensor } from '@nearfar/protocol';
import { createApi, networkError } from './api.ts';
import { ArtifactCache } from './artifact-cache.ts';
import { openByteStore } from './byte-store.ts';
import { probe } from './capability.ts';
import { Device } from './device.ts';
import { EngineHost } from './engine/engine-host.ts';
import { createEmit, type Emit } from './events.ts';
import { inferDecided } from './infer.ts';
import type { InferParts } from './infer-parts.ts';
import { Leases } from './lease.ts';
import { NetworkMeter } from './network.ts';
import { OutcomeReporter } from './outcomes.ts';
import { isSaving, onLeave } from './page-state.ts';
import { toTensors } from './picture.ts';
import { PictureReader } from './picture-reader.ts';
import type { PrepareParts } from './prepare.ts';
import { countRows, type PageRequest, parametersOf, specOf } from './request.ts';
import { abortable, SharedCalls } from './shared-calls.ts';
import { TaskCatalog } from './task-catalog.ts';
import type {
  Answer,
  EngineName,
  InferOptions,
  Mesh,
  MeshInput,
  MeshOptions,
  MeshStatus,
  PrepareOptions,
  PrepareProgress,
  ReadyVariant,
} from './types.ts';

const DEFAULT_ENGINES: readonly EngineName[] = ['tfjs-webgpu', 'ort-wasm'];
/** Larger variants stay on the mesh: few pages would pay their download back. */
const DEFAULT_MAX_VARIANT_BYTES = 2_000_000;

/**
 * A page's way into the mesh: each request runs in the page, at the edge or in the pool, as the page decides under its
 * lease by the same policy as the coordinator. Nothing is downloaded before the first call.
 */
export function createMesh(options: MeshOptions): Mesh {
  return new PageMesh(options);
}

class PageMesh implements Mesh {
  readonly #events = new EventTarget();
  readonly #emit: Emit = createEmit(this.#events);
  readonly #closing = new AbortController();
  readonly #engines: readonly EngineName[];
  readonly #catalog: TaskCatalog;
  readonly #cache: ArtifactCache;
  readonly #device: Device;
  readonly #pictureHost: EngineHost;
  readonly #pictures: PictureReader;
  readonly #leases: Leases;
  readonly #outcomes: OutcomeReporter;
  readonly #inferParts: InferParts;
  readonly #preparations = new SharedCalls<void, PrepareProgress>();
  readonly #underWay = new Set<Promise<Answer | undefined>>();
  readonly #stopWatching: () => void;
  #probing: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: MeshOptions) {
    const now = () => performance.now();
    const createWorker = options.createWorker ?? createEngineWorker;
    const { assetBase } = options;
    const network = new NetworkMeter();
    this.#engines = options.engines ?? DEFAULT_ENGINES;
    const api = createApi(options.endpoint, options.token ?? '');
    this.#catalog = new TaskCatalog({
      api,
      now,
      onRead: (tasks) => void this.#device.retain(tasks),
    });
    this.#cache = new ArtifactCache({
      api,
      openStore: () => openByteStore(() => Date.now()),
      onMemoryOnly: (reason) => this.#emit('cache', { reason }),
    });
    this.#device = new Device({
      now,
      createWorker,
      engines: this.#engines,
      assetBase,
      onChange: () => this.#deviceChanged(),
    });
    this.#pictureHost = new EngineHost({ createWorker, now });
    this.#pictures = new PictureReader(this.#pictureHost);
    this.#leases = new Leases({
      api,
      network,
      now,
      report: (task) => this.#device.report(task, isSaving()),
      onRevision: (task, revision) => this.#catalog.expect(task, revision, this.#closing.signal),
      closing: this.#closing.signal,
    });
    this.#outcomes = new OutcomeReporter(api, () => this.#device.measured(), this.#leases);
    this.#inferParts = {
      api,
      catalog: this.#catalog,
      device: this.#device,
      leases: this.#leases,
      network,
      outcomes: this.#outcomes,
      escalations: new EscalationBook(),
      calibrations: new CalibrationBook(),
      decisions: { total: 0, waited: 0 },
      emit: this.#emit,
      now,
    };
    this.#stopWatching = onLeave(() => void this.#outcomes.flush(true));
  }

  async prepare(taskName: string, options: PrepareOptions = {}): Promise<readonly ReadyVariant[]> {
    const signal = this.#signalOf(options.signal);
    signal.throwIfAborted();
    const { maxVariantBytes = DEFAULT_MAX_VARIANT_BYTES, minAccuracy } = options;
    const wanted = { maxVariantBytes, minAccuracy };
    await this.#preparations.join(
      `${taskName} ${maxVariantBytes} ${minAccuracy}`,
      { signal, onUpdate: options.onProgress },
      (shared, update) => this.#prepare(taskName, wanted, shared, update),
    );
    return this.#device.ready.filter((variant) => variant.task === taskName);
  }

  async preprocess(
    taskName: string,
    input: MeshInput,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<readonly Tensor[]> {
    const signal = this.#signalOf(options.signal);
    signal.throwIfAborted();
    const task = await this.#catalog.get(taskName, signal);
    return await abortable(toTensors(input, task.preprocess, this.#pictures, signal), signal);
  }

  async infer(taskName: string, input: MeshInput, options: InferOptions = {}): Promise<Answer> {
    const startedAt = this.#inferParts.now();
    const parameters = parametersOf(options);
    const limit = new AbortController();
    const signal = AbortSignal.any([this.#signalOf(options.signal), limit.signal]);
    signal.throwIfAborted();
    const task = await abortable(this.#catalog.get(taskName, signal), signal);
    const spec = specOf(task, parameters);
    const timer = setTimeout(
      () => limit.abort(timeLimitError(spec.timeoutMs)),
      spec.timeoutMs - (this.#inferParts.now() - startedAt),
    );
    try {
      const demands = { parameters, spec, startedAt, signal };
      const answer =
        (await this.#attempt(task, input, demands)) ??
        (await this.#attempt(await this.#catalog.get(taskName, signal), input, demands));
      if (answer !== undefined) return answer;
      throw new MeshError('MESH_VARIANT_NOT_READY', `"${taskName}" changed its revision with each answer`);
    } finally {
      clearTimeout(timer);
    }
  }

  status(): MeshStatus {
    const { ready, unavailable } = this.#device;
    const cache = this.#cache.isMemoryOnly ? 'memory' : 'persistent';
    const decisions = { ...this.#inferParts.decisions };
    return { device: this.#device.info, ready, unavailable, cache, decisions };
  }

  addEventListener(
    type: string,
    listener: (event: CustomEvent) => void,
    options?: AddEventListenerOptions,
  ): void {
    this.#events.addEventListener(type, listener as EventListener, options);
  }

  removeEventListener(type: string, listener: (event: CustomEvent) => void): void {
    this.#events.removeEventListener(type, listener as EventListener);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(new MeshError('MESH_CANCELLED', 'The mesh is closed'));
    this.#device.close();
    this.#pictureHost.close();
    // Calls that the abort ended have an outcome too.
    await Promise.allSettled(this.#underWay);
    this.#stopWatching();
    await Promise.all([this.#outcomes.close(), this.#cache.close()]);
  }

  /** Answers for one revision of the task; undefined when the mesh has another one by now. */
  async #attempt(
    task: TaskInfo,
    input: MeshInput,
    demands: Pick<PageRequest, 'parameters' | 'spec' | 'startedAt' | 'signal'>,
  ): Promise<Answer | undefined> {
    const { parameters, spec, signal } = demands;
    const inputs = await abortable(toTensors(input, task.preprocess, this.#pictures, signal), signal);
    const rows = countRows(task, inputs);
    // A payload that may not leave waits for its own device, as long as its time limit lets it.
    if (spec.privacy === 'local_only') await this.#prepareIfNeeded(task, parameters, signal);
    const request = { ...demands, task, inputs, rows };
    return await abortable(this.#track(inferDecided(this.#inferParts, request)), signal);
  }

  /** Keeps a call until it has settled, so that closing can wait for its outcome. */
  #track(call: Promise<Answer | undefined>): Promise<Answer | undefined> {
    this.#underWay.add(call);
    const forget = () => void this.#underWay.delete(call);
    call.then(forget, forget);
    return call;
  }

  async #prepare(
    taskName: string,
    wanted: Pick<PrepareParts, 'maxVariantBytes' | 'minAccuracy'>,
    signal: AbortSignal,
    update: (progress: PrepareProgress) => void,
  ): Promise<void> {
    const [task, { prepareTask }] = await Promise.all([
      this.#catalog.refresh(taskName, signal),
      loadPrepare(),
      this.#probe(),
    ]);
    // Only for what others measured, which an ended lease tells as well.
    const { profiles } = await this.#leases.get(taskName, 0, { signal, useEnded: 'always' });
    const known = ({ variant, revision }: { variant: string; revision: number }) =>
      profiles.find((profile) => profile.variant === variant && profile.revision === revision);
    await prepareTask(
      {
        device: this.#device,
        cache: this.#cache,
        engines: this.#engines,
        ...wanted,
        known,
        signal,
        now: this.#inferParts.now,
        update: (progress) => {
          update(progress);
          this.#emit('progress', progress);
        },
      },
      task,
    );
    this.#outcomes.schedule();
  }

  /**
   * Waits for a preparation unless something is ready; one that fails shows in the decision, with its reasons. It goes
   * on when the request gives up: on a slow link the download would start from zero with each request otherwise.
   */
  async #prepareIfNeeded(
    task: TaskInfo,
    { min_accuracy: minAccuracy }: Parameters,
    signal: AbortSignal,
  ): Promise<void> {
    if (task.variants.some((variant) => this.#device.has(variant))) return;
    signal.throwIfAborted();
    try {
      await abortable(this.prepare(task.task, { minAccuracy }), signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof MeshError) || error.code !== 'MESH_DEVICE_UNAVAILABLE') throw error;
    }
  }

  #probe(): Promise<void> {
    this.#probing ??= probe(navigator).then((capability) => {
      this.#device.capability = capability;
    });
    return this.#probing;
  }

  #deviceChanged(): void {
    const { info } = this.#device;
    if (info !== undefined) this.#emit('device', info);
  }

  /** Aborts with the caller's signal or when the mesh is closed. */
  #signalOf(signal: AbortSignal | undefined): AbortSignal {
    const closing = this.#closing.signal;
    return signal === undefined ? closing : AbortSignal.any([signal, closing]);
  }
}

/** A part of its own, since pages whose requests all go to the mesh never need it. */
async function loadPrepare(): Promise<typeof import('./prepare.ts')> {
  try {
    return await import('./prepare.ts');
  } catch (cause) {
    throw networkError(cause);
  }
}

function createEngineWorker(): Worker {
  return new Worker(new URL('./engine/engine-worker.ts', import.meta.url), { type: 'module' });
}

function timeLimitError(timeoutMs: number): MeshError {
  return new MeshError('MESH_DEADLINE_EXCEEDED', `No answer within the time limit of ${timeoutMs} ms`);
}
