import { type PageView, Sketch } from '@nearfar/core';
import { MeshError, type ProfileReport, type Tensor, type VariantSpec } from '@nearfar/protocol';
import { type Capability, deviceClassOf, isOnWebGpu } from './capability.ts';
import { EngineHost, type HostedRun } from './engine/engine-host.ts';
import type { ModelFiles } from './engine/messages.ts';
import type { EngineName, ReadyVariant, UnavailableVariant } from './types.ts';

/** Runs that fail one after another until a variant counts as broken here. */
const MAX_FAILURES = 3;

/** Compressed bytes of each runtime that a page downloads before its first run; part of what browser work costs. */
const RUNTIME_BYTES: Readonly<Record<EngineName, number>> = {
  'tfjs-webgpu': 180_000,
  'ort-webgpu': 6_600_000,
  'ort-wasm': 3_700_000,
};

interface LocalVariant {
  readonly spec: VariantSpec;
  readonly engine: EngineName;
  readonly sketch: Sketch;
  readonly loadMs: number;
  failures: number;
  isDirty: boolean;
}

/** What a device is made of. */
export interface DeviceOptions {
  readonly now: () => number;
  readonly createWorker: () => Worker;
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
  readonly #epoch: string = crypto.randomUUID();
  #capability: Capability | undefined;
  #engine: EngineName | undefined;
  #version = 0;

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

  /** The class by which this device's measurements are shared, under the engine that it settled on. */
  get deviceClass(): string | undefined {
    if (this.#capability === undefined) return undefined;
    const engine = this.#engine ?? (this.#capability.webgpu === undefined ? 'ort-wasm' : 'tfjs-webgpu');
    return deviceClassOf(this.#capability, engine);
  }

  get ready(): ReadyVariant[] {
    return [...this.#ready.values()].map(({ spec: { task, variant }, engine, sketch }) => ({
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

  has(spec: VariantSpec): boolean {
    return this.#ready.get(nameOf(spec))?.spec.revision === spec.revision;
  }

  /** Starts an engine; rejects when this browser cannot run it. */
  async start(engine: EngineName, signal: AbortSignal): Promise<void> {
    await this.#host(engine).start(signal);
  }

  /** Loads a variant, for `test` and `run`; gives the milliseconds that it took. */
  async load(engine: EngineName, spec: VariantSpec, model: ModelFiles, signal: AbortSignal): Promise<number> {
    const startedAt = this.#options.now();
    await this.#host(engine).load(nameOf(spec), model, signal);
    return this.#options.now() - startedAt;
  }

  /** Runs a loaded variant that is not a candidate yet. */
  async test(
    engine: EngineName,
    spec: VariantSpec,
    inputs: readonly Tensor[],
    signal: AbortSignal,
  ): Promise<HostedRun> {
    return await this.#host(engine).run(nameOf(spec), inputs, signal);
  }

  /** Makes a loaded and tested variant a candidate. */
  add(engine: EngineName, spec: VariantSpec, loadMs: number, runsMs: readonly number[]): void {
    const sketch = new Sketch();
    for (const runMs of runsMs) sketch.add(runMs);
    const name = nameOf(spec);
    this.#engine = engine;
    this.#unavailable.delete(name);
    this.#ready.set(name, { spec, engine, sketch, loadMs, failures: 0, isDirty: true });
    this.#options.onChange();
  }

  /** Notes that a variant cannot run here, and unloads it. */
  async reject(spec: VariantSpec, engine: EngineName, reason: string): Promise<void> {
    const { task, variant } = spec;
    const name = nameOf(spec);
    this.#ready.delete(name);
    this.#unavailable.set(name, { task, variant, reason });
    this.#options.onChange();
    // An engine that does not even unload is replaced with its worker, which frees the same.
    await this.#hosts
      .get(engine)
      ?.unload(name)
      .catch(() => undefined);
  }

  /**
   * Runs a ready variant.
   *
   * @throws MeshError `MESH_EXECUTION_FAILED`; the third in a row takes the variant out of the choice.
   */
  async run(
    task: string,
    variant: string,
    inputs: readonly Tensor[],
    signal: AbortSignal,
  ): Promise<HostedRun> {
    const local = this.#ready.get(`${task}/${variant}`);
    if (local === undefined)
      throw new MeshError('MESH_VARIANT_NOT_READY', `"${variant}" is not ready in this page`);
    try {
      const run = await this.#host(local.engine).run(nameOf(local.spec), inputs, signal);
      if (inputs[0]?.shape[0] === 1) {
        local.sketch.add(run.computeMs);
        local.isDirty = true;
      }
      local.failures = 0;
      return run;
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
    const ready = locals.flatMap(({ spec, engine, sketch }) => {
      const compute = sketch.moments();
      if (spec.task !== task || compute === undefined) return [];
      const measured = { compute, samples: sketch.count };
      return [{ spec, measured, runtimeBytes: RUNTIME_BYTES[engine] }];
    });
    const pending = [...this.#hosts.values()].reduce((sum, host) => sum + host.pending, 0);
    const meanMs = Math.max(0, ...locals.map(({ sketch }) => sketch.moments()?.meanMs ?? 0));
    return { deviceClass: this.deviceClass ?? 'unknown', ready, backlogMs: pending * meanMs, isSaving };
  }

  /** Reports of every variant that was measured since the last time. */
  takeReports(): ProfileReport[] {
    const { deviceClass } = this;
    const dirty = [...this.#ready.values()].filter((local) => local.isDirty);
    if (deviceClass === undefined || dirty.length === 0) return [];
    this.#version += 1;
    return dirty.map((local) => {
      local.isDirty = false;
      const { task, variant, revision } = local.spec;
      return {
        task,
        variant,
        revision,
        deviceClass,
        batch: 1,
        epoch: this.#epoch,
        version: this.#version,
        computeMs: local.sketch.toData(),
        loadMs: local.loadMs,
      };
    });
  }

  close(): void {
    for (const host of this.#hosts.values()) host.close();
    this.#ready.clear();
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

function nameOf({ task, variant }: Pick<VariantSpec, 'task' | 'variant'>): string {
  return `${task}/${variant}`;
}
