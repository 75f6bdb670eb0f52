import { LiveSketch, type PageView } from '@nearfar/core';
import { MeshError, type TaskInfo, type Tensor, type VariantSpec } from '@nearfar/protocol';
import { type Capability, deviceClassOf, isOnWebGpu } from './capability.ts';
import { EngineHost, type HostedRun } from './engine/engine-host.ts';
import type { ModelFiles } from './engine/messages.ts';
import { createId } from './ids.ts';
import type { DeviceReport } from './lease.ts';
import { type LoadTimes, type LocalVariant, profileOf, RUNTIME_BYTES } from './local-variant.ts';
import type { Measured } from './outcomes.ts';
import type { DeviceInfo, EngineName, ReadyVariant, UnavailableVariant } from './types.ts';

/** Runs that fail one after another until a variant counts as broken here. */
const MAX_FAILURES = 3;

/** A run of a ready variant. */
export interface DeviceRun extends HostedRun {
  /** Whether it showed that the device has changed, so that what was measured of the variant before counts no more. */
  readonly hasDrifted: boolean;
}

/** What a device is made of. */
export interface DeviceOptions {
  readonly now: () => number;
  readonly createWorker: () => Worker;
  /** Engines that may be used, most wanted first. */
  readonly engines: readonly EngineName[];
  /** URL of the engines' own files, relative to the page or absolute; undefined = the bundler's place. */
  readonly assetBase: string | undefined;
  /** Called when what the device can run has changed. */
  readonly onChange: () => void;
}

/** This page as a place where variants run: its engines, its ready variants and what was measured of them. */
export class Device {
  readonly #options: DeviceOptions;
  readonly #hosts = new Map<EngineName, EngineHost>();
  readonly #ready = new Map<string, LocalVariant>();
  readonly #unavailable = new Map<string, UnavailableVariant>();
  /** What it took each engine to start for the first time, in milliseconds: its download is most of it. */
  readonly #startMs = new Map<EngineName, number>();
  readonly #epoch: string = createId();
  #capability: Capability | undefined;
  #engine: EngineName | undefined;
  #version = 0;
  #isClosed = false;

  constructor(options: DeviceOptions) {
    this.#options = options;
  }

  /** What was found of the device; undefined until somebody has looked. */
  get capability(): Capability | undefined {
    return this.#capability;
  }

  set capability(capability: Capability) {
    this.#capability = capability;
    this.#options.onChange();
  }

  /**
   * The class by which this device's measurements are shared, under the engine that it settled on; before that, under
   * the first one that it may use and can.
   */
  get deviceClass(): string | undefined {
    const capability = this.#capability;
    if (capability === undefined) return undefined;
    const canRun = (engine: EngineName) => !isOnWebGpu(engine) || capability.webgpu !== undefined;
    return deviceClassOf(capability, this.#engine ?? this.#options.engines.find(canRun) ?? 'ort-wasm');
  }

  /** What this device is, for the page's own eyes; undefined until somebody has looked. */
  get info(): DeviceInfo | undefined {
    const { capability, deviceClass } = this;
    if (capability === undefined || deviceClass === undefined) return undefined;
    return { deviceClass, webgpu: capability.description };
  }

  get ready(): ReadyVariant[] {
    if (this.#isClosed) return [];
    return [...this.#ready.values()].map(({ spec: { task, variant }, engine, times: { sketch } }) => ({
      task,
      variant,
      engine,
      meanMs: sketch.moments()?.meanMs ?? 0,
      runs: sketch.count,
    }));
  }

  get unavailable(): UnavailableVariant[] {
    return [...this.#unavailable.values()];
  }

  /** Whether variants may still be added on `engine`: those on other hardware would need another device class. */
  admits(engine: EngineName): boolean {
    return this.#ready.size === 0 || isOnWebGpu(engine) === isOnWebGpu(this.#engine ?? engine);
  }

  has(spec: Pick<VariantSpec, 'task' | 'variant' | 'revision'>): boolean {
    return this.#ready.get(nameOf(spec))?.spec.revision === spec.revision;
  }

  /** Starts an engine; rejects when this browser cannot run it. */
  async start(engine: EngineName, signal: AbortSignal): Promise<void> {
    const startedAt = this.#options.now();
    await this.#host(engine).start(signal);
    if (!this.#startMs.has(engine)) this.#startMs.set(engine, this.#options.now() - startedAt);
  }

  /** Loads a variant, for `test` and `run`; gives the milliseconds that it took. */
  async load(engine: EngineName, spec: VariantSpec, model: ModelFiles, signal: AbortSignal): Promise<number> {
    const startedAt = this.#options.now();
    await this.#host(engine).load(sessionOf(spec), model, signal);
    return this.#options.now() - startedAt;
  }

  /** Runs a loaded variant that is not a candidate yet. */
  async test(
    engine: EngineName,
    spec: VariantSpec,
    inputs: readonly Tensor[],
    signal: AbortSignal,
  ): Promise<HostedRun> {
    return await this.#host(engine).run(sessionOf(spec), inputs, signal);
  }

  /** Makes a loaded and tested variant a candidate at once, and unloads the revision whose place it takes. */
  async add(
    engine: EngineName,
    spec: VariantSpec,
    load: LoadTimes,
    runsMs: readonly number[],
  ): Promise<void> {
    const times = new LiveSketch();
    for (const runMs of runsMs) times.addMeasured(runMs);
    const name = nameOf(spec);
    const former = this.#ready.get(name);
    this.#engine = engine;
    this.#unavailable.delete(name);
    const runs = { failures: 0, measuredRuns: runsMs.length, reportedRuns: 0 };
    this.#ready.set(name, { spec, engine, times, load, ...runs });
    this.#options.onChange();
    if (former !== undefined && former.spec.revision !== spec.revision) {
      await this.#unload(former.engine, former.spec);
    }
  }

  /** Notes that a variant cannot run here, and unloads it with any other revision of it. */
  async reject(spec: VariantSpec, engine: EngineName, reason: string): Promise<void> {
    const { task, variant } = spec;
    const name = nameOf(spec);
    const former = this.#ready.get(name);
    this.#ready.delete(name);
    this.#unavailable.set(name, { task, variant, reason });
    this.#options.onChange();
    await this.#unload(engine, spec);
    if (former !== undefined) await this.#unload(former.engine, former.spec);
  }

  /** Notes that a variant cannot run here for a reason that is known before anything is downloaded. */
  passOver(spec: VariantSpec, reason: string): void {
    const { task, variant } = spec;
    if (!this.#ready.has(nameOf(spec))) this.#unavailable.set(nameOf(spec), { task, variant, reason });
  }

  /** Takes out of the choice, and unloads, what none of the mesh's tasks has any more in this revision. */
  async retain(tasks: readonly TaskInfo[]): Promise<void> {
    const held = new Set(tasks.flatMap(({ variants }) => variants.map(sessionOf)));
    const gone = [...this.#ready.values()].filter(({ spec }) => !held.has(sessionOf(spec)));
    if (gone.length === 0) return;
    for (const { spec } of gone) this.#ready.delete(nameOf(spec));
    this.#options.onChange();
    await Promise.all(gone.map(({ engine, spec }) => this.#unload(engine, spec)));
  }

  /**
   * Runs a ready variant, in that revision alone.
   *
   * @throws MeshError `MESH_EXECUTION_FAILED`; the third in a row takes the variant out of the choice.
   */
  async run(
    named: Pick<VariantSpec, 'task' | 'variant' | 'revision'>,
    inputs: readonly Tensor[],
    signal: AbortSignal,
  ): Promise<DeviceRun> {
    const local = this.#ready.get(nameOf(named));
    if (local?.spec.revision !== named.revision)
      throw new MeshError('MESH_VARIANT_NOT_READY', `"${named.variant}" is not ready in this page`);
    try {
      const run = await this.#host(local.engine).run(sessionOf(local.spec), inputs, signal);
      let hasDrifted = false;
      if (rowsOf(local.spec, inputs) === 1) {
        hasDrifted = local.times.addLive(run.computeMs);
        local.measuredRuns += 1;
      }
      local.failures = 0;
      return { ...run, hasDrifted };
    } catch (error) {
      if (signal.aborted) throw error;
      local.failures += 1;
      if (local.failures >= MAX_FAILURES) {
        const reason = error instanceof Error ? error.message : String(error);
        await this.reject(local.spec, local.engine, `${MAX_FAILURES} runs in a row failed: ${reason}`);
      }
      throw error;
    }
  }

  /** What this page can run of `task`, for a decision. */
  view(task: string, isSaving: boolean): Omit<PageView, 'network'> {
    const locals = [...this.#ready.values()];
    const ready = locals.flatMap(({ spec, engine, times: { sketch } }) => {
      const compute = sketch.moments();
      if (spec.task !== task || compute === undefined) return [];
      const measured = { compute, samples: sketch.count };
      return [{ spec, measured, runtimeBytes: RUNTIME_BYTES[engine] }];
    });
    const pending = [...this.#hosts.values()].reduce((sum, host) => sum + host.pending, 0);
    const meanMs = Math.max(0, ...locals.map(({ times }) => times.sketch.moments()?.meanMs ?? 0));
    return { deviceClass: this.deviceClass ?? 'unknown', ready, backlogMs: pending * meanMs, isSaving };
  }

  /** What the mesh is told of this page when it is asked for a lease; undefined until somebody has looked. */
  report(task: string, isSaving: boolean): DeviceReport | undefined {
    const { deviceClass, ready, backlogMs } = this.view(task, isSaving);
    if (this.#capability === undefined) return undefined;
    const variants = ready.map(({ spec: { variant, revision } }) => ({ variant, revision }));
    return { deviceClass, ready: variants, backlogMs, isSaving };
  }

  /**
   * Reports of every variant that was measured since its last report arrived. Each holds all that was measured, so
   * that what a lost one told comes with the next.
   */
  measured(): Measured {
    const { deviceClass } = this;
    const news = [...this.#ready.values()]
      .map((local) => ({ local, runs: local.measuredRuns }))
      .filter(({ local, runs }) => runs > local.reportedRuns);
    if (deviceClass === undefined || news.length === 0) return { profiles: [], confirm: () => undefined };
    this.#version += 1;
    const life = { deviceClass, epoch: this.#epoch, version: this.#version };
    const profiles = news.map(({ local }) => {
      const startMs = this.#startMs.get(local.engine) ?? 0;
      return { ...profileOf(local, startMs), ...life };
    });
    const confirm = () => {
      for (const { local, runs } of news) local.reportedRuns = Math.max(local.reportedRuns, runs);
    };
    return { profiles, confirm };
  }

  /** Ends the engines. What was measured can still be reported. May be called twice. */
  close(): void {
    this.#isClosed = true;
    for (const host of this.#hosts.values()) host.close();
  }

  /** An engine that does not even unload is replaced with its worker, which frees the same. */
  async #unload(engine: EngineName, spec: VariantSpec): Promise<void> {
    await this.#hosts
      .get(engine)
      ?.unload(sessionOf(spec))
      .catch(() => undefined);
  }

  #host(engine: EngineName): EngineHost {
    const { createWorker, assetBase, now } = this.#options;
    let host = this.#hosts.get(engine);
    if (host === undefined) {
      // onnxruntime-web takes only absolute addresses (onnxruntime#23515).
      const base = assetBase === undefined ? undefined : new URL(assetBase, document.baseURI).href;
      host = new EngineHost({ createWorker, now, start: { engine, assetBase: base } });
      this.#hosts.set(engine, host);
    }
    return host;
  }
}

/** Inputs along the batch axis. */
function rowsOf({ isBatchable }: VariantSpec, [first]: readonly Tensor[]): number {
  return isBatchable ? (first?.shape[0] ?? 1) : 1;
}

function nameOf({ task, variant }: Pick<VariantSpec, 'task' | 'variant'>): string {
  return `${task}/${variant}`;
}

/** Name of a variant inside an engine. Weights of another revision are another session, tested before it is used. */
function sessionOf(spec: Pick<VariantSpec, 'task' | 'variant' | 'revision'>): string {
  return `${nameOf(spec)}@${spec.revision}`;
}
