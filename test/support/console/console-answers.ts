import { readFileSync } from 'node:fs';
import { paretoLines } from '@nearfar/core';
import type { Accuracy, Prices, ShareInterval, TaskInfo } from '@nearfar/protocol';
import type { Answers } from './console-mesh.ts';

type Variant = TaskInfo['variants'][number];
type Profile = Record<string, string | number | boolean> & ReturnType<typeof profile>;

const PRICES: Prices = JSON.parse(
  readFileSync(new URL('../../../coordinator/src/prices.json', import.meta.url), 'utf8'),
);
const PLACES = [
  { tier: 'edge', deviceClass: 'cpu:x64-2', usdPerHour: PRICES.edge.usdPerCpuHour },
  { tier: 'pool', deviceClass: 'cpu:x64-2', usdPerHour: PRICES.pool.usdPerHour.cpu },
  { tier: 'browser', deviceClass: 'webgpu:google-swiftshader' },
] as const;

/** A 95 % interval of a share of `sampleSize`, by the normal approximation: near enough for a picture. */
function around(value: number, sampleSize: number): ShareInterval {
  const half = 1.96 * Math.sqrt((value * (1 - value)) / sampleSize);
  return { low: Math.max(0, value - half), high: Math.min(1, value + half) };
}

function measured(value: number, drop?: number): Accuracy {
  return {
    value,
    source: 'measured',
    sampleSize: 10_000,
    interval: around(value, 10_000),
    ...(drop !== undefined && { drop: { value: drop, low: drop - 0.0015, high: drop + 0.0016 } }),
  };
}

interface VariantOptions {
  readonly task: string;
  readonly accuracy: Accuracy;
  readonly kib: number;
  readonly origin?: 'supplied' | 'generated';
}

/** A variant by its id, which tells model, precision and format. */
function variant(id: string, { task, accuracy, kib, origin = 'generated' }: VariantOptions): Variant {
  const [, model = '', precision = '', format = ''] =
    /^(.+?)-(fp32|fp16|int8-dynamic|int8)-(onnx|tfjs)$/.exec(id) ?? [];
  return {
    task,
    variant: id,
    revision: 3,
    model,
    precision: precision as Variant['precision'],
    format: format as Variant['format'],
    origin,
    accuracy,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 1, 28, 28] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 10] }],
    artifacts: [{ path: id, sha256: hashOf(id), sizeBytes: kib * 1024 }],
    tolerance: 1e-3,
    isBatchable: true,
    tiers: ['browser', 'edge', 'pool'],
  };
}

/** Some SHA-256 for each name. */
function hashOf(name: string): string {
  return Buffer.from(name).toString('hex').padEnd(64, '0').slice(0, 64);
}

function profile(of: Variant, deviceClass: string, batch: number, p50Ms: number, over: object = {}) {
  return {
    task: of.task,
    variant: of.variant,
    revision: of.revision,
    deviceClass,
    batch,
    samples: 240,
    reporters: 2,
    p50Ms,
    p90Ms: p50Ms * 1.2,
    p99Ms: p50Ms * 1.9,
    meanMs: p50Ms * 1.05,
    compileMs: 14 + p50Ms,
    firstRunMs: p50Ms * 6,
    loadMs: 36 + p50Ms * 7,
    downloadMs: 22,
    memoryBytes: of.artifacts.reduce((sum, file) => sum + file.sizeBytes, 0) * 2.2,
    peakMemoryBytes: of.artifacts.reduce((sum, file) => sum + file.sizeBytes, 0) * 3.1,
    modelBytes: of.artifacts.reduce((sum, file) => sum + file.sizeBytes, 0),
    runtimeBytes: deviceClass.startsWith('webgpu') ? 180_000 : 0,
    ageMs: 4 * 60_000,
    isStale: false,
    ...over,
  };
}

/** A classification task as a registration of three models leaves it: measured, with a cascade and a canary. */
function fashion(): { task: TaskInfo; profiles: Profile[] } {
  const task = 'fashion';
  const of = (id: string, accuracy: Accuracy, kib: number, origin?: 'supplied') =>
    variant(id, { task, accuracy, kib, ...(origin !== undefined && { origin }) });
  const variants = [
    of('tiny-fp32-onnx', measured(0.8921), 118, 'supplied'),
    of('tiny-int8-onnx', measured(0.8917, 0.0004), 33),
    of('tiny-fp32-tfjs', measured(0.8921, 0), 121),
    of('small-fp32-onnx', measured(0.9188), 602, 'supplied'),
    of('small-fp16-onnx', measured(0.9188, 0), 304),
    of('small-int8-onnx', measured(0.9181, 0.0007), 158),
    of('small-int8-dynamic-onnx', measured(0.9169, 0.0019), 157),
    of('small-fp32-tfjs', measured(0.9188, 0), 610),
    of('large-fp32-onnx', measured(0.9397), 5_240, 'supplied'),
    of('large-int8-dynamic-onnx', measured(0.9381, 0.0016), 1_330),
  ];
  const large = variants.find((entry) => entry.variant === 'large-fp32-onnx');
  const cascade: Variant = {
    ...variant('tiny-int8-onnx', { task, accuracy: measured(0.9362), kib: 0 }),
    variant: 'tiny-int8-onnx..large-fp32-onnx.t93',
    model: 'tiny..large',
    precision: 'mixed',
    format: 'cascade',
    artifacts: [],
    cascade: {
      small: 'tiny-int8-onnx',
      large: large?.variant ?? '',
      threshold: 0.93,
      escalation: { value: 0.318, sampleSize: 5_000, interval: around(0.318, 5_000) },
    },
  };
  const speeds: Readonly<Record<string, readonly [number, number?]>> = {
    'tiny-fp32-onnx': [0.21],
    'tiny-int8-onnx': [0.23],
    'tiny-fp32-tfjs': [0.9, 3.1],
    'small-fp32-onnx': [1.1],
    'small-fp16-onnx': [1.6],
    'small-int8-onnx': [1.25],
    'small-int8-dynamic-onnx': [0.72],
    'small-fp32-tfjs': [2.9, 8.4],
    'large-fp32-onnx': [9.8],
    'large-int8-dynamic-onnx': [4.1],
  };
  const profiles = variants.flatMap((entry) => {
    const [cpuMs = 1, gpuMs] = speeds[entry.variant] ?? [];
    const onCpu = [1, 2, 4, 8].map((batch) => profile(entry, 'cpu:x64-2', batch, cpuMs * batch * 0.9));
    const [first] = onCpu;
    if (entry.variant === 'small-fp32-onnx' && first !== undefined) {
      Object.assign(first, { isStale: true, ageMs: 31 * 3_600_000 });
    }
    return gpuMs === undefined
      ? onCpu
      : [...onCpu, profile(entry, 'webgpu:google-swiftshader', 1, gpuMs, PAGE)];
  });
  profiles.push(profile(cascade, 'cpu:x64-2', 1, 3.2));
  return {
    task: {
      task,
      kind: 'image-classification',
      labels: [
        'T-shirt',
        'Trouser',
        'Pullover',
        'Dress',
        'Coat',
        'Sandal',
        'Shirt',
        'Sneaker',
        'Bag',
        'Boot',
      ],
      defaults: {},
      revision: 3,
      registeredAt: '2026-11-12T09:30:00Z',
      previousRevision: 2,
      rollout: { mode: 'canary', share: 0.1, revision: 4, state: 'serving' },
      variants: [...variants, cascade],
      rejected: [
        {
          variant: 'tiny-int8-dynamic-onnx',
          model: 'tiny',
          reason:
            'Expected to lose at most 1 point of accuracy, lost 1.42 (1.11 to 1.73) on 10 000 inputs; raise --max-accuracy-drop to serve it all the same',
        },
        {
          variant: 'large-fp32-tfjs',
          model: 'large',
          reason:
            'Operator "InstanceNormalization" of node "/norm/in" is outside the set that the tfjs converter knows',
        },
      ],
    },
    profiles,
  };
}

/** What a page knows: not the memory, and no download where the files were there already. */
const PAGE = {
  memoryBytes: undefined,
  peakMemoryBytes: undefined,
  downloadMs: undefined,
  loadMs: undefined,
  reporters: 1,
};

/** A task without labelled data: declared accuracy and agreement, one variant that nobody has run yet. */
function imagenet(): { task: TaskInfo; profiles: Profile[] } {
  const task = 'imagenet';
  const declared: Accuracy = { value: 0.498, source: 'declared', sampleSize: 0 };
  const variants = [
    variant('mobilenet-025-fp32-onnx', { task, accuracy: declared, kib: 1_900, origin: 'supplied' }),
    variant('mobilenet-025-int8-onnx', {
      task,
      kib: 510,
      accuracy: {
        value: 0.4899,
        source: 'agreement',
        sampleSize: 0,
        agreement: { value: 0.9919, sampleSize: 247, interval: around(0.9919, 247), inputs: 'samples' },
      },
    }),
    variant('mobilenet-025-fp32-tfjs', { task, accuracy: declared, kib: 1_880, origin: 'supplied' }),
  ];
  const [onnx, int8] = variants;
  return {
    task: {
      task,
      kind: 'image-classification',
      labels: Array.from({ length: 1000 }, (_, index) => `class ${index}`),
      defaults: {},
      revision: 1,
      registeredAt: '2026-11-14T15:00:00Z',
      rollout: { mode: 'shadow', share: 0.2, revision: 2, state: 'warming' },
      variants,
      rejected: [],
    },
    profiles: [onnx, int8].flatMap((entry) =>
      entry === undefined ? [] : [profile(entry, 'cpu:x64-2', 1, 1.3)],
    ),
  };
}

/** A task that is registered and runs nowhere yet, of which nobody said how accurate it is. */
function vad(): { task: TaskInfo; profiles: Profile[] } {
  const accuracy: Accuracy = { value: 0, source: 'declared', sampleSize: 0 };
  const only = variant('silero-fp32-onnx', { task: 'speech', accuracy, kib: 2_270, origin: 'supplied' });
  return {
    task: {
      task: 'speech',
      kind: 'audio-frame',
      labels: [],
      defaults: {},
      revision: 1,
      variants: [{ ...only, tiers: ['edge', 'pool'] }],
      rejected: [],
    },
    profiles: [],
  };
}

/** Answers of a mesh with three tasks in different states, costed and compared by the mesh's own code. */
export function consoleAnswers(): Answers {
  const tasks = [fashion(), imagenet(), vad()];
  return {
    '/v1/workers': { workers: [] },
    '/v1/decisions': { decisions: [] },
    '/v1/models': { models: tasks.map(({ task }) => task) },
    '/v1/profiles': { profiles: tasks.flatMap(({ profiles }) => profiles) },
    '/v1/pareto': {
      tasks: tasks.map(({ task, profiles }) => ({
        task: task.task,
        lines: paretoLines({
          variants: task.variants,
          profiles,
          places: PLACES,
          prices: PRICES,
          maxAccuracyDrop: 0.01,
        }),
      })),
    },
  };
}
