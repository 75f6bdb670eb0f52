import { checkGolden, type GoldenCase, MIN_SAMPLES, parseGolden } from '@nearfar/core';
import {
  type Artifact,
  DATATYPE_BYTES,
  elementCount,
  MeshError,
  type TaskInfo,
  type Tensor,
  type VariantSpec,
} from '@nearfar/protocol';
import type { ArtifactCache } from './artifact-cache.ts';
import { isOnWebGpu } from './capability.ts';
import type { Device } from './device.ts';
import { whenIdle } from './page-state.ts';
import type { EngineName, PrepareProgress } from './types.ts';

/** Runs that make the first profile of a variant on this device. */
const MEASURED_RUNS = 10;

/** What preparing needs. */
export interface PrepareParts {
  readonly device: Device;
  readonly cache: ArtifactCache;
  /** Engines that may be used, most wanted first. */
  readonly engines: readonly EngineName[];
  readonly maxVariantBytes: number;
  /** Measurements of a variant that devices of this class have already shared. */
  readonly knownSamples: (spec: VariantSpec) => number;
  readonly signal: AbortSignal;
  readonly update: (progress: PrepareProgress) => void;
}

/** The bytes that a preparation needs in all, and how many of them are here. */
interface Download {
  readonly totalBytes: number;
  doneBytes: number;
}

/**
 * Makes the device a place where requests of `task` can run, on the first engine on which a variant passes its
 * self-test. Variants that were prepared before stay as they are.
 *
 * @throws MeshError `MESH_DEVICE_UNAVAILABLE` when none passes on any engine, with the reasons in `details`, or when the
 * page is not in a secure context, without which browsers have neither the hash for downloads nor WebGPU.
 */
export async function prepareTask(parts: PrepareParts, task: TaskInfo): Promise<void> {
  const { device, engines, update } = parts;
  if (globalThis.crypto.subtle === undefined) {
    throw new MeshError(
      'MESH_DEVICE_UNAVAILABLE',
      'Expected a secure context to check downloads in, found a page over plain HTTP: serve it by HTTPS or from localhost',
    );
  }
  const reasons: string[] = [];
  for (const engine of engines) {
    const obstacle = obstacleTo(engine, device);
    const variants = variantsFor(task, engine, parts.maxVariantBytes);
    if (obstacle !== undefined || variants.length === 0) {
      reasons.push(`${engine}: ${obstacle ?? 'the task has no variant for it that is small enough'}`);
      continue;
    }
    const download: Download = { totalBytes: sum(variants.flatMap(filesOf)), doneBytes: 0 };
    for (const spec of variants) await prepareOrReject(parts, engine, spec, download);
    if (variants.some((spec) => device.has(spec))) {
      update({
        task: task.task,
        phase: 'ready',
        loadedBytes: download.totalBytes,
        totalBytes: download.totalBytes,
      });
      return;
    }
    const failed = device.unavailable.filter(
      (entry) => entry.task === task.task && variants.some(({ variant }) => variant === entry.variant),
    );
    reasons.push(...failed.map(({ variant, reason }) => `${engine}: ${variant}: ${reason}`));
  }
  throw new MeshError('MESH_DEVICE_UNAVAILABLE', `"${task.task}" cannot run in this page`, {
    details: { reasons },
  });
}

/** Why an engine is passed over, if it is. */
function obstacleTo(engine: EngineName, device: Device): string | undefined {
  if (isOnWebGpu(engine) && device.capability?.webgpu === undefined) {
    return device.capability?.description ?? 'nobody has looked for WebGPU';
  }
  return device.admits(engine) ? undefined : 'this page computes on other hardware already';
}

/** The variants of a task that an engine can run, the smallest first. */
function variantsFor(task: TaskInfo, engine: EngineName, maxBytes: number): VariantSpec[] {
  const format = engine === 'tfjs-webgpu' ? 'tfjs' : 'onnx';
  const sized = task.variants.map((spec) => ({ spec, bytes: sum(spec.artifacts) }));
  return sized
    .filter(({ spec, bytes }) => spec.format === format && bytes <= maxBytes)
    .sort((a, b) => a.bytes - b.bytes)
    .map(({ spec }) => spec);
}

async function prepareOrReject(
  parts: PrepareParts,
  engine: EngineName,
  spec: VariantSpec,
  download: Download,
): Promise<void> {
  const { device, signal } = parts;
  const neededBytes = sum(filesOf(spec));
  const doneBefore = download.doneBytes;
  try {
    if (!device.has(spec)) await prepareVariant(parts, engine, spec, download);
  } catch (error) {
    signal.throwIfAborted();
    await device.reject(spec, engine, error instanceof Error ? error.message : String(error));
  }
  download.doneBytes = doneBefore + neededBytes;
}

/** Download, load, self-test, measure. Only what passes becomes a candidate. */
async function prepareVariant(
  parts: PrepareParts,
  engine: EngineName,
  spec: VariantSpec,
  download: Download,
): Promise<void> {
  const { device, signal } = parts;
  const progress = (phase: PrepareProgress['phase']) => {
    signal.throwIfAborted();
    const { doneBytes: loadedBytes, totalBytes } = download;
    parts.update({ task: spec.task, variant: spec.variant, phase, loadedBytes, totalBytes });
  };
  progress('download');
  const files = [];
  for (const artifact of spec.artifacts) {
    files.push({ path: artifact.path, bytes: await fetchFile(parts, spec, artifact, download) });
  }
  const golden =
    spec.golden === undefined
      ? undefined
      : parseGolden(await fetchFile(parts, spec, spec.golden, download), spec);

  progress('load');
  await device.start(engine, signal);
  const loadMs = await device.load(engine, spec, { spec, files }, signal);

  progress('test');
  if (golden !== undefined) {
    const { outputs } = await device.test(engine, spec, golden.inputs, signal);
    checkGolden(golden, outputs, spec.tolerance);
  }
  progress('measure');
  await device.add(engine, spec, loadMs, await measure(parts, engine, spec, golden));
}

/**
 * Milliseconds of runs of one input, each begun in an idle moment. The first run compiles and is left out; a class
 * that others have measured well enough needs only one run to prove that it is warm.
 */
async function measure(
  { device, knownSamples, signal }: PrepareParts,
  engine: EngineName,
  spec: VariantSpec,
  golden: GoldenCase | undefined,
): Promise<number[]> {
  const inputs = golden === undefined ? zeroInputs(spec) : firstRow(golden.inputs);
  await device.test(engine, spec, inputs, signal);
  const runsMs: number[] = [];
  const wanted = knownSamples(spec) >= MIN_SAMPLES ? 1 : MEASURED_RUNS;
  while (runsMs.length < wanted) {
    await whenIdle();
    const { computeMs } = await device.test(engine, spec, inputs, signal);
    runsMs.push(computeMs);
  }
  return runsMs;
}

async function fetchFile(
  { cache, signal, update }: PrepareParts,
  { task, variant }: VariantSpec,
  artifact: Artifact,
  download: Download,
): Promise<Uint8Array<ArrayBuffer>> {
  const doneBefore = download.doneBytes;
  const bytes = await cache.get(artifact, {
    signal,
    onLoaded: (fileBytes) => {
      download.doneBytes = doneBefore + fileBytes;
      const { doneBytes: loadedBytes, totalBytes } = download;
      update({ task, variant, phase: 'download', loadedBytes, totalBytes });
    },
  });
  download.doneBytes = doneBefore + artifact.sizeBytes;
  return bytes;
}

function filesOf({ artifacts, golden }: VariantSpec): Artifact[] {
  return golden === undefined ? [...artifacts] : [...artifacts, golden];
}

function sum(files: readonly Artifact[]): number {
  return files.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}

/** The first row of batched inputs, as one request carries it. */
function firstRow(tensors: readonly Tensor[]): Tensor[] {
  return tensors.map((tensor) => {
    const [rows = 1, ...rest] = tensor.shape;
    return { ...tensor, shape: [1, ...rest], data: tensor.data.slice(0, tensor.data.byteLength / rows) };
  });
}

/** One input of zeros. */
function zeroInputs({ inputs }: VariantSpec): Tensor[] {
  return inputs.map(({ name, datatype, shape }) => {
    const sized = shape.map((dimension) => (dimension === -1 ? 1 : dimension));
    return {
      name,
      datatype,
      shape: sized,
      data: new Uint8Array(elementCount(sized) * DATATYPE_BYTES[datatype]),
    };
  });
}
