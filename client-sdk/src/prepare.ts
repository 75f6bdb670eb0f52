import { checkGolden, MIN_SAMPLES, parseGolden, type ServiceTime } from '@nearfar/core';
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
import { chooseVariants, type VariantChoice } from './choose-variants.ts';
import type { Device } from './device.ts';
import { fetchFiles } from './fetch-files.ts';
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
  /** Accuracy that the page's requests demand; undefined = the task's own. */
  readonly minAccuracy?: number | undefined;
  /** What devices of this class have measured of a variant; undefined = nothing. */
  readonly known: (spec: VariantSpec) => ServiceTime | undefined;
  readonly signal: AbortSignal;
  /** Milliseconds on a monotonic scale. */
  readonly now: () => number;
  readonly update: (progress: PrepareProgress) => void;
}

/** The bytes that a preparation needs in all, and how many of them are here. */
interface Download {
  totalBytes: number;
  doneBytes: number;
}

/**
 * Makes the device a place where requests of `task` can run, on the first engine on which a variant passes its
 * self-test: of each model the variant that `chooseVariants` puts first, or when that fails here the next.
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
    const { models, obstacles } = chooseVariants(task.variants, {
      engine,
      capability: device.capability,
      maxVariantBytes: parts.maxVariantBytes,
      minAccuracy: parts.minAccuracy ?? task.defaults.min_accuracy ?? 0,
      knownMs: (spec) => parts.known(spec)?.compute.meanMs,
      isReady: (spec) => device.has(spec),
    });
    const obstacle = obstacleTo(engine, device);
    if (obstacle !== undefined || models.length + obstacles.length === 0) {
      reasons.push(`${engine}: ${obstacle ?? 'the task has no variant for it that is small enough'}`);
      continue;
    }
    for (const { spec, reason } of obstacles) device.passOver(spec, reason);
    const totalBytes = await prepareModels(parts, engine, models);
    if (models.flat().some((spec) => device.has(spec))) {
      update({ task: task.task, phase: 'ready', loadedBytes: totalBytes, totalBytes });
      return;
    }
    const tried = [...models.flat(), ...obstacles.map(({ spec }) => spec)];
    const failed = device.unavailable.filter(
      (entry) => entry.task === task.task && tried.some(({ variant }) => variant === entry.variant),
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

/** Prepares one variant of each model; gives the bytes that this needed. */
async function prepareModels(
  parts: PrepareParts,
  engine: EngineName,
  models: VariantChoice['models'],
): Promise<number> {
  const { device, signal } = parts;
  const firsts = models.flatMap((own) => own.slice(0, 1));
  const download: Download = { totalBytes: sum(firsts.flatMap(filesOf)), doneBytes: 0 };
  if (firsts.every((spec) => device.has(spec))) return download.totalBytes;
  try {
    // First of all: what an engine that does not start would run need not be downloaded.
    await device.start(engine, signal);
  } catch (error) {
    signal.throwIfAborted();
    for (const spec of firsts) await device.reject(spec, engine, messageOf(error));
    return download.totalBytes;
  }
  for (const own of models) {
    for (const [index, spec] of own.entries()) {
      if (index > 0) download.totalBytes += sum(filesOf(spec));
      if (await prepareOrReject(parts, engine, spec, download)) break;
    }
  }
  return download.totalBytes;
}

/** Gives whether there is nothing more to try for the model: the variant is ready, or the mesh cannot be reached. */
async function prepareOrReject(
  parts: PrepareParts,
  engine: EngineName,
  spec: VariantSpec,
  download: Download,
): Promise<boolean> {
  const { device, signal } = parts;
  const neededBytes = sum(filesOf(spec));
  const doneBefore = download.doneBytes;
  let isDone = true;
  try {
    if (!device.has(spec)) await prepareVariant(parts, engine, spec, download);
  } catch (error) {
    signal.throwIfAborted();
    await device.reject(spec, engine, messageOf(error));
    isDone = error instanceof MeshError && error.code === 'MESH_NETWORK';
  }
  download.doneBytes = doneBefore + neededBytes;
  return isDone;
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
  const fetchAll = async (artifacts: readonly Artifact[]) => {
    const doneBefore = download.doneBytes;
    const files = await fetchFiles(parts.cache, artifacts, signal, (loadedBytes) => {
      download.doneBytes = doneBefore + loadedBytes;
      progress('download');
    });
    download.doneBytes = doneBefore + sum(artifacts);
    return files;
  };
  const startedAt = parts.now();
  const fetched = await fetchAll(spec.artifacts);
  // What the browser had already tells nothing of how long the next page waits.
  const downloadMs = fetched.every(({ isDownloaded }) => isDownloaded) ? parts.now() - startedAt : undefined;
  const files = fetched.map(({ bytes }, index) => ({ path: spec.artifacts[index]?.path ?? '', bytes }));
  const [golden] =
    spec.golden === undefined
      ? []
      : (await fetchAll([spec.golden])).map(({ bytes }) => parseGolden(bytes, spec));

  progress('load');
  const compileMs = await device.load(engine, spec, { spec, files }, signal);

  progress('test');
  const inputs = golden?.inputs ?? zeroInputs(spec);
  const { outputs, computeMs: firstRunMs } = await device.test(engine, spec, inputs, signal);
  if (golden !== undefined) checkGolden(golden, outputs, spec.tolerance);
  progress('measure');
  const runsMs = await measure(parts, engine, spec, spec.isBatchable ? firstRow(inputs) : inputs);
  await device.add(engine, spec, { downloadMs, compileMs, firstRunMs }, runsMs);
}

/**
 * Milliseconds of runs of one input, each begun in an idle moment. The first run compiles for one input and is left out;
 * a class that others have measured well enough needs only one run to prove that it is warm.
 */
async function measure(
  { device, known, signal }: PrepareParts,
  engine: EngineName,
  spec: VariantSpec,
  inputs: readonly Tensor[],
): Promise<number[]> {
  await device.test(engine, spec, inputs, signal);
  const runsMs: number[] = [];
  const wanted = (known(spec)?.samples ?? 0) >= MIN_SAMPLES ? 1 : MEASURED_RUNS;
  while (runsMs.length < wanted) {
    await whenIdle();
    const { computeMs } = await device.test(engine, spec, inputs, signal);
    runsMs.push(computeMs);
  }
  return runsMs;
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
