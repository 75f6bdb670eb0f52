import { createHash } from 'node:crypto';
import type { ServiceTime } from '@nearfar/core';
import { float32Tensor, float32Values, type Tensor, type VariantSpec } from '@nearfar/protocol';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ArtifactCache } from '../../../client-sdk/src/artifact-cache.ts';
import type { Capability, WebGpuAdapter } from '../../../client-sdk/src/capability.ts';
import { Device } from '../../../client-sdk/src/device.ts';
import type { EngineCall } from '../../../client-sdk/src/engine/messages.ts';
import { type PrepareParts, prepareTask } from '../../../client-sdk/src/prepare.ts';
import type { EngineName, PrepareProgress } from '../../../client-sdk/src/types.ts';
import { artifactOf, certainly, HandClock, rowsOf, taskInfo, variantSpec } from './builders.ts';
import { type Answering, AnsweringWorkers } from './fake-worker.ts';

type Bytes = Uint8Array<ArrayBuffer>;

const ADAPTER: WebGpuAdapter = { vendor: 'test', architecture: 'gpu', isFallback: false, hasF16: false };
const CPU_ONLY: Capability = {
  webgpu: undefined,
  description: 'none: no adapter',
  architecture: 'x64',
  cores: 4,
};
const WITH_GPU: Capability = { ...CPU_ONLY, webgpu: ADAPTER, description: 'test gpu' };

/** What every model of these tests computes. */
const doubled = (tensors: readonly Tensor[]): Tensor[] =>
  tensors.map((tensor) =>
    float32Tensor(
      'y',
      tensor.shape,
      float32Values(tensor).map((value) => 2 * value),
    ),
  );

/** A golden file whose two rows of inputs give `outputs`, by any of the models. */
function goldenFile(outputs: readonly number[], models: readonly string[]): Bytes {
  const tensor = (values: readonly number[]) => ({
    datatype: 'FP32',
    shape: [2, values.length / 2],
    base64: Buffer.from(Float32Array.from(values).buffer).toString('base64'),
  });
  const y = tensor(outputs);
  const golden = {
    inputs: { x: tensor([1, 2, 3, 4]) },
    outputs: Object.fromEntries(models.map((model) => [model, { y }])),
  };
  return new TextEncoder().encode(JSON.stringify(golden));
}

/** What `samples` runs of 10 ms tell. */
const measured = (samples: number): ServiceTime => ({ compute: certainly(10), samples });

/** One row of input. */
const row = (): Tensor => rowsOf('x', 1, 2);

const RIGHT = [2, 4, 6, 8];
const WRONG = [2, 4, 6, 9];

interface VariantOptions {
  readonly sizeBytes?: number;
  readonly precision?: VariantSpec['precision'];
  /** What the golden file expects; null = the variant has none. */
  readonly golden?: readonly number[] | null;
  readonly format?: 'onnx' | 'tfjs';
}

/** A device without hardware, and the mesh that it downloads from. */
class Bench {
  readonly clock = new HandClock();
  readonly progress: PrepareProgress[] = [];
  readonly downloads: string[] = [];
  readonly workers: AnsweringWorkers;
  readonly device: Device;
  readonly #files = new Map<string, Bytes>();
  readonly #cache: ArtifactCache;

  constructor(
    capability = CPU_ONLY,
    answering: Answering = (call) => (call.kind === 'run' ? doubled(call.tensors) : []),
  ) {
    this.workers = new AnsweringWorkers((call) => {
      this.clock.ms += 7;
      return answering(call);
    });
    this.device = new Device({
      now: this.clock.now,
      createWorker: this.workers.create,
      engines: ['tfjs-webgpu', 'ort-wasm'],
      assetBase: undefined,
      onChange: () => undefined,
    });
    this.device.capability = capability;
    this.#cache = new ArtifactCache({
      openStore: () => Promise.reject(new Error('no store in Node')),
      onMemoryOnly: () => undefined,
      api: {
        artifact: async (sha256) => {
          this.downloads.push(sha256);
          const file = this.#files.get(sha256);
          if (file === undefined) return new Response(broken());
          const onPart = () => {
            this.clock.ms += 5;
          };
          return new Response(inParts(file, onPart));
        },
      },
    });
  }

  /** Publishes a variant with its files. */
  publish(
    model: string,
    { sizeBytes = 100, golden = RIGHT, format = 'onnx', precision = 'fp32' }: VariantOptions = {},
  ): VariantSpec {
    const variant = `${model}-${precision}-${format}`;
    const spec = variantSpec({
      model,
      variant,
      precision,
      format,
      artifacts: [this.#put(bytesNamed(variant, sizeBytes), `${model}.${format}`)],
    });
    if (golden === null) return spec;
    return { ...spec, golden: this.#put(goldenFile(golden, [model]), 'golden.json') };
  }

  /** Lets the connection break whenever a variant is downloaded. */
  cut({ artifacts: [artifact] }: VariantSpec): void {
    if (artifact !== undefined) this.#files.delete(artifact.sha256);
  }

  /** Breaks a file of a variant on its way. */
  corrupt({ artifacts: [artifact] }: VariantSpec): void {
    if (artifact !== undefined) this.#files.set(artifact.sha256, new Uint8Array(artifact.sizeBytes));
  }

  async prepare(variants: VariantSpec[], over: Partial<PrepareParts> = {}): Promise<void> {
    const parts: PrepareParts = {
      device: this.device,
      cache: this.#cache,
      engines: ['tfjs-webgpu', 'ort-wasm'],
      maxVariantBytes: 1_000,
      known: () => undefined,
      now: this.clock.now,
      signal: new AbortController().signal,
      update: (progress) => this.progress.push(progress),
      ...over,
    };
    await prepareTask(parts, taskInfo({}, variants));
  }

  /** Names of the ready variants with their engines. */
  get ready(): [string, EngineName][] {
    return this.device.ready.map(({ variant, engine }) => [variant, engine]);
  }

  #put(bytes: Bytes, path: string) {
    const artifact = artifactOf(bytes, path);
    this.#files.set(artifact.sha256, bytes);
    return artifact;
  }
}

/** Bytes that differ by name. */
function bytesNamed(name: string, sizeBytes: number): Bytes {
  const bytes = new Uint8Array(sizeBytes);
  bytes.set(createHash('sha256').update(name).digest().subarray(0, sizeBytes));
  return bytes;
}

const broken = (): ReadableStream<Bytes> =>
  new ReadableStream({ pull: (controller) => controller.error(new TypeError('terminated')) });

/** The bytes forty at a time; `onPart` is called for each part. */
function inParts(bytes: Bytes, onPart: () => void): ReadableStream<Bytes> {
  let offset = 0;
  return new ReadableStream({
    pull(controller) {
      if (offset < bytes.byteLength) onPart();
      if (offset >= bytes.byteLength) controller.close();
      else controller.enqueue(bytes.slice(offset, offset + 40));
      offset += 40;
    },
  });
}

const benches: Bench[] = [];

function benchOf(...options: ConstructorParameters<typeof Bench>): Bench {
  const bench = new Bench(...options);
  benches.push(bench);
  return bench;
}

afterEach(() => {
  for (const bench of benches.splice(0)) {
    expect(bench.device.view('digits', false).backlogMs).toBe(0);
    bench.device.close();
  }
});

describe('preparing a task', () => {
  test('makes every variant of an engine ready, measured on one input', async () => {
    const bench = benchOf();
    const [tiny, small] = [bench.publish('tiny'), bench.publish('small', { sizeBytes: 200 })];
    await bench.prepare([small, tiny]);
    expect(bench.ready).toEqual([
      ['tiny-fp32-onnx', 'ort-wasm'],
      ['small-fp32-onnx', 'ort-wasm'],
    ]);
    expect(bench.device.ready[0]).toMatchObject({ meanMs: 7, runs: 10 });
    const shapes = bench.workers.calls.flatMap((call) =>
      call.kind === 'run' ? [call.tensors[0]?.shape] : [],
    );
    // The golden rows at once, then one of them: to warm up and to measure.
    expect(shapes.slice(0, 12)).toEqual([[2, 2], ...Array.from({ length: 11 }, () => [1, 2])]);
  });

  test('totals are known from the start and progress never goes backwards', async () => {
    const bench = benchOf();
    const [tiny, bad, small] = [
      bench.publish('tiny'),
      bench.publish('bad', { sizeBytes: 150 }),
      bench.publish('small', { sizeBytes: 200 }),
    ];
    bench.corrupt(bad);
    await bench.prepare([tiny, bad, small]);
    const bytesOf = (...specs: VariantSpec[]) =>
      specs
        .flatMap(({ artifacts, golden }) => [...artifacts, golden])
        .reduce((sum, file) => sum + (file?.sizeBytes ?? 0), 0);
    const totalBytes = bytesOf(tiny, bad, small);
    expect(new Set(bench.progress.map((progress) => progress.totalBytes))).toEqual(new Set([totalBytes]));
    const loaded = bench.progress.map(({ loadedBytes }) => loadedBytes);
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
    expect(loaded[0]).toBe(0);
    // The files of a rejected variant are not waited for any more.
    const last = bench.progress.find(({ variant }) => variant === small.variant);
    expect(last?.loadedBytes).toBe(bytesOf(tiny, bad));
    expect(bench.progress.at(-1)).toEqual({
      task: 'digits',
      phase: 'ready',
      loadedBytes: totalBytes,
      totalBytes,
    });
  });

  test('each variant goes through its phases in order', async () => {
    const bench = benchOf();
    await bench.prepare([bench.publish('tiny')]);
    const phases = bench.progress.map(({ phase }) => phase);
    expect([...new Set(phases)]).toEqual(['download', 'load', 'test', 'measure', 'ready']);
  });

  test('a variant that was prepared before stays as it is', async () => {
    const bench = benchOf();
    const tiny = bench.publish('tiny');
    await bench.prepare([tiny]);
    const calls = bench.workers.calls.length;
    await bench.prepare([tiny]);
    expect(bench.workers.calls).toHaveLength(calls);
    expect(bench.progress.at(-1)?.phase).toBe('ready');
  });

  test('the first engine on which a variant passes wins', async () => {
    const bench = benchOf(WITH_GPU);
    const variants = [bench.publish('tiny'), bench.publish('tiny', { format: 'tfjs' })];
    await bench.prepare(variants);
    expect(bench.ready).toEqual([['tiny-fp32-tfjs', 'tfjs-webgpu']]);
  });

  test('an engine on which no variant passes gives way to the next', async () => {
    const bench = benchOf(WITH_GPU);
    const variants = [bench.publish('tiny'), bench.publish('gpu', { format: 'tfjs', golden: WRONG })];
    await bench.prepare(variants);
    expect(bench.ready).toEqual([['tiny-fp32-onnx', 'ort-wasm']]);
    expect(bench.device.deviceClass).toBe('wasm:x64-4');
  });

  test('an engine on WebGPU is passed over where there is none', async () => {
    const bench = benchOf();
    await bench.prepare([bench.publish('tiny'), bench.publish('tiny', { format: 'tfjs' })]);
    expect(bench.ready).toEqual([['tiny-fp32-onnx', 'ort-wasm']]);
    expect(bench.device.unavailable).toEqual([]);
  });

  test('a wrong golden output rejects the variant and no other', async () => {
    const bench = benchOf();
    const [tiny, bad] = [bench.publish('tiny'), bench.publish('bad', { golden: WRONG })];
    await bench.prepare([bad, tiny]);
    expect(bench.ready).toEqual([['tiny-fp32-onnx', 'ort-wasm']]);
    expect(bench.device.unavailable).toEqual([
      {
        task: 'digits',
        variant: 'bad-fp32-onnx',
        reason: expect.stringContaining('output "y" differs by 1.00'),
      },
    ]);
    expect(bench.workers.calls.filter(({ kind }) => kind === 'unload')).toEqual([
      { kind: 'unload', session: 'digits/bad-fp32-onnx@1' },
    ]);
  });

  test('a variant whose files are corrupt is not loaded', async () => {
    const bench = benchOf();
    const tiny = bench.publish('tiny');
    bench.corrupt(tiny);
    await expect(bench.prepare([tiny])).rejects.toMatchObject({ code: 'MESH_DEVICE_UNAVAILABLE' });
    expect(bench.workers.calls.map(({ kind }) => kind)).toEqual(['start']);
  });

  test('when none passes, the error lists the reasons of each engine once', async () => {
    const bench = benchOf(WITH_GPU);
    const variants = [
      bench.publish('tiny', { golden: WRONG }),
      bench.publish('huge', { sizeBytes: 5_000 }),
      bench.publish('gpu', { format: 'tfjs', golden: WRONG }),
    ];
    const wrong = 'Self-test: output "y" differs by 1.00 from the known one, more than 0.009';
    await expect(bench.prepare(variants)).rejects.toMatchObject({
      code: 'MESH_DEVICE_UNAVAILABLE',
      details: {
        reasons: [`tfjs-webgpu: gpu-fp32-tfjs: ${wrong}`, `ort-wasm: tiny-fp32-onnx: ${wrong}`],
      },
    });
    expect(bench.progress.map(({ phase }) => phase)).not.toContain('ready');
  });

  test('an engine is named with its obstacle when it cannot even be tried', async () => {
    const bench = benchOf();
    const huge = bench.publish('huge', { sizeBytes: 5_000 });
    await expect(bench.prepare([huge])).rejects.toMatchObject({
      details: {
        reasons: [
          'tfjs-webgpu: none: no adapter',
          'ort-wasm: the task has no variant for it that is small enough',
        ],
      },
    });
    expect(bench.downloads).toEqual([]);
  });

  test('an engine that does not start is the reason of every variant', async () => {
    const bench = benchOf(WITH_GPU, ({ kind }: EngineCall) => {
      if (kind === 'start') throw new Error('tfjs found no WebGPU device');
      return [];
    });
    const variants = [
      bench.publish('tiny', { format: 'tfjs' }),
      bench.publish('small', { format: 'tfjs', sizeBytes: 200 }),
    ];
    await expect(bench.prepare(variants, { engines: ['tfjs-webgpu'] })).rejects.toMatchObject({
      details: {
        reasons: [
          'tfjs-webgpu: tiny-fp32-tfjs: tfjs found no WebGPU device',
          'tfjs-webgpu: small-fp32-tfjs: tfjs found no WebGPU device',
        ],
      },
    });
    expect(bench.downloads).toEqual([]);
  });

  test('a variant that fails to run does not cost the ones that are ready', async () => {
    const bench = benchOf(CPU_ONLY, (call) => {
      if (call.kind !== 'run') return [];
      if (call.session.includes('bad')) throw new Error('unsupported operator');
      return doubled(call.tensors);
    });
    const [tiny, bad, small] = [
      bench.publish('tiny'),
      bench.publish('bad', { sizeBytes: 150 }),
      bench.publish('small', { sizeBytes: 200 }),
    ];
    await bench.prepare([tiny, bad, small]);
    expect(bench.ready.map(([variant]) => variant)).toEqual(['tiny-fp32-onnx', 'small-fp32-onnx']);
    const { calls } = bench.workers;
    const restarted = calls.slice(calls.findLastIndex(({ kind }) => kind === 'start'));
    expect(restarted.slice(0, 3).map((call) => ('session' in call ? call.session : call.kind))).toEqual([
      'start',
      'digits/tiny-fp32-onnx@1',
      'digits/small-fp32-onnx@1',
    ]);
  });

  test('a class that others have measured well needs only one measured run', async () => {
    const bench = benchOf();
    await bench.prepare([bench.publish('tiny')], { known: () => measured(30) });
    expect(bench.device.ready[0]?.runs).toBe(1);
    // The self-test, the one that warms up, and the one that is measured.
    expect(bench.workers.runs).toHaveLength(3);
  });

  test('a class with few measurements does not', async () => {
    const bench = benchOf();
    await bench.prepare([bench.publish('tiny')], { known: () => measured(29) });
    expect(bench.device.ready[0]?.runs).toBe(10);
  });

  test('a variant without a golden file is measured on zeros', async () => {
    const bench = benchOf();
    await bench.prepare([bench.publish('tiny', { golden: null })]);
    const [first] = bench.workers.calls.flatMap((call) => (call.kind === 'run' ? [call.tensors] : []));
    expect(first).toEqual([float32Tensor('x', [1, 2], new Float32Array(2))]);
  });

  test('of the variants of a model only the smallest is downloaded', async () => {
    const bench = benchOf();
    const fp32 = bench.publish('tiny', { sizeBytes: 400 });
    const int8 = bench.publish('tiny', { sizeBytes: 100, precision: 'int8' });
    await bench.prepare([fp32, int8]);
    expect(bench.ready).toEqual([['tiny-int8-onnx', 'ort-wasm']]);
    expect(bench.downloads).not.toContain(fp32.artifacts[0]?.sha256);
  });

  test('when that fails here, the next of the model stands in', async () => {
    const bench = benchOf();
    const fp32 = bench.publish('tiny', { sizeBytes: 400 });
    const int8 = bench.publish('tiny', { precision: 'int8', golden: WRONG });
    await bench.prepare([fp32, int8]);
    expect(bench.ready).toEqual([['tiny-fp32-onnx', 'ort-wasm']]);
    expect(bench.device.unavailable).toMatchObject([{ variant: 'tiny-int8-onnx' }]);
    const loaded = bench.progress.map(({ loadedBytes }) => loadedBytes);
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
    const last = bench.progress.at(-1);
    expect(last?.loadedBytes).toBe(last?.totalBytes);
  });

  test('none stands in for one that could not be downloaded, since the next could not either', async () => {
    const bench = benchOf();
    const fp32 = bench.publish('tiny', { sizeBytes: 400 });
    const int8 = bench.publish('tiny', { precision: 'int8' });
    bench.cut(int8);
    await expect(bench.prepare([fp32, int8])).rejects.toMatchObject({ code: 'MESH_DEVICE_UNAVAILABLE' });
    expect(bench.downloads).not.toContain(fp32.artifacts[0]?.sha256);
  });

  test('a model that is ready is not prepared again in another precision', async () => {
    const bench = benchOf();
    const fp32 = bench.publish('tiny', { sizeBytes: 400 });
    await bench.prepare([fp32]);
    await bench.prepare([fp32, bench.publish('tiny', { precision: 'int8' })]);
    expect(bench.ready).toEqual([['tiny-fp32-onnx', 'ort-wasm']]);
  });

  test('a variant that the adapter cannot run is named with the reason and not downloaded', async () => {
    const bench = benchOf(WITH_GPU);
    const fp16 = bench.publish('tiny', { precision: 'fp16', sizeBytes: 50 });
    await bench.prepare([fp16, bench.publish('small')], { engines: ['ort-webgpu'] });
    expect(bench.ready).toEqual([['small-fp32-onnx', 'ort-webgpu']]);
    expect(bench.device.unavailable).toEqual([
      { task: 'digits', variant: 'tiny-fp16-onnx', reason: expect.stringContaining('shader-f16') },
    ]);
    expect(bench.downloads).not.toContain(fp16.artifacts[0]?.sha256);
  });

  test('when the adapter can run none of them, the error says why', async () => {
    const bench = benchOf(WITH_GPU);
    const fp16 = bench.publish('tiny', { precision: 'fp16' });
    await expect(bench.prepare([fp16], { engines: ['ort-webgpu'] })).rejects.toMatchObject({
      details: { reasons: [expect.stringMatching(/^ort-webgpu: tiny-fp16-onnx: .*shader-f16/)] },
    });
  });

  test('what a cold preparation took is reported in its parts', async () => {
    const bench = benchOf();
    const spec = bench.publish('tiny', { sizeBytes: 100 });
    await bench.prepare([spec]);
    // Every call of the engine takes 7 ms here, every part of a download 5 ms.
    expect(bench.device.measured().profiles).toMatchObject([
      { downloadMs: 15, compileMs: 7, firstRunMs: 7, loadMs: 7 + 15 + 7 + 7, modelBytes: 100 },
    ]);
    expect(bench.device.measured().profiles[0]?.runtimeBytes).toBeGreaterThan(1_000_000);
  });

  test('a download that the browser had kept is left out, with the whole that it is part of', async () => {
    const bench = benchOf();
    const spec = bench.publish('tiny');
    await bench.prepare([spec]);
    await bench.prepare([{ ...spec, revision: 2 }]);
    const [profile] = bench.device.measured().profiles;
    expect(profile).toMatchObject({ revision: 2, compileMs: 7, firstRunMs: 7 });
    expect(profile).not.toHaveProperty('downloadMs');
    expect(profile).not.toHaveProperty('loadMs');
  });

  test('an abort ends it with the reason of the caller and rejects no variant', async () => {
    const bench = benchOf();
    const caller = new AbortController();
    const update = ({ phase }: PrepareProgress) => {
      if (phase === 'test') caller.abort(new Error('page left'));
    };
    const prepared = bench.prepare([bench.publish('tiny')], { signal: caller.signal, update });
    await expect(prepared).rejects.toThrow('page left');
    expect(bench.device.unavailable).toEqual([]);
    expect(bench.ready).toEqual([]);
  });

  test('a newer revision serves only after its own self-test; then the former one is unloaded', async () => {
    const bench = benchOf();
    const tiny = bench.publish('tiny');
    await bench.prepare([tiny]);
    const isFormerServing: boolean[] = [];
    const update = ({ phase }: PrepareProgress) => {
      if (phase !== 'ready') isFormerServing.push(bench.device.has(tiny));
    };
    await bench.prepare([{ ...tiny, revision: 2 }], { update });
    expect(new Set(isFormerServing)).toEqual(new Set([true]));
    const sessions = bench.workers.calls.flatMap((call) =>
      call.kind === 'load' || call.kind === 'unload' ? [`${call.kind} ${call.session}`] : [],
    );
    expect(sessions).toEqual([
      'load digits/tiny-fp32-onnx@1',
      'load digits/tiny-fp32-onnx@2',
      'unload digits/tiny-fp32-onnx@1',
    ]);
    const run = await bench.device.run({ ...tiny, revision: 2 }, [row()], new AbortController().signal);
    expect(run.outputs).toHaveLength(1);
    expect(bench.workers.runs.at(-1)).toBe('digits/tiny-fp32-onnx@2');
  });

  test('a newer revision that fails takes the former one along', async () => {
    const bench = benchOf();
    await bench.prepare([bench.publish('tiny')]);
    const newer = { ...bench.publish('tiny', { golden: WRONG }), revision: 2 };
    await expect(bench.prepare([newer])).rejects.toMatchObject({ code: 'MESH_DEVICE_UNAVAILABLE' });
    expect(bench.ready).toEqual([]);
    const unloaded = bench.workers.calls.flatMap((call) => (call.kind === 'unload' ? [call.session] : []));
    expect(unloaded).toEqual(['digits/tiny-fp32-onnx@2', 'digits/tiny-fp32-onnx@1']);
  });

  test('without a secure context it says what the page needs, and downloads nothing', async () => {
    const { getRandomValues } = crypto;
    vi.stubGlobal('crypto', { getRandomValues: getRandomValues.bind(crypto) });
    try {
      const bench = benchOf();
      await expect(bench.prepare([bench.publish('tiny')])).rejects.toMatchObject({
        code: 'MESH_DEVICE_UNAVAILABLE',
        message: expect.stringMatching(/HTTPS or from localhost/),
      });
      expect(bench.downloads).toEqual([]);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
