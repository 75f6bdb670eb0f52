import { type Clock, checkGolden, type GoldenCase, parseGolden } from '@nearfar/core';
import { MeshError, type VariantSpec } from '@nearfar/protocol';
import { joinTensors } from './batch-tensors.ts';
import { type ArtifactSource, download, downloadModel } from './download.ts';
import type { Engine } from './engine.ts';
import type { SharedTensor } from './engine-messages.ts';
import { measuringInputs } from './measuring-inputs.ts';
import type { MemoryWatch } from './memory-watch.ts';

/** Where a variant comes from and goes to. */
export interface PrepareOptions {
  /** One a slot; each gets the session. */
  readonly engines: readonly [Engine, ...Engine[]];
  /** Name of the session in the engines. */
  readonly session: string;
  readonly spec: VariantSpec;
  readonly artifacts: ArtifactSource;
  readonly memory: MemoryWatch;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A variant that is loaded and gave the known outputs, and how long each step took in milliseconds. */
export interface PreparedReplica {
  /** Inputs of one row to measure it with (`measuringInputs`). */
  readonly example: readonly SharedTensor[];
  readonly loadMs: number;
  readonly downloadMs: number;
  readonly compileMs: number;
  readonly firstRunMs: number;
  /** Bytes of its files. */
  readonly modelBytes: number;
}

/**
 * Brings a variant into the engines: downloads and verifies its files, creates the sessions, runs one of them for the first
 * time and compares what it gives.
 *
 * @throws MeshError `MESH_VARIANT_FAILED` when it cannot be loaded, run or gives other outputs than it should; those of the
 * download; the signal's reason.
 */
export async function prepareReplica(options: PrepareOptions): Promise<PreparedReplica> {
  const { engines, session, spec, artifacts, memory, clock, signal } = options;
  const { format, inputs, outputs } = spec;
  if (format === 'cascade') {
    throw new MeshError(
      'MESH_VARIANT_FAILED',
      'Expected an onnx or tfjs variant, got a cascade; load its stages',
    );
  }
  const startedAt = clock.now();
  const files = await downloadModel(artifacts, spec.artifacts, signal);
  const golden =
    spec.golden === undefined ? undefined : parseGolden(await download(artifacts, spec.golden, signal), spec);
  const downloadedAt = clock.now();
  for (const engine of engines) {
    signal.throwIfAborted();
    await engine.load(session, { format, files, inputs, outputs });
    memory.sample();
  }
  const compiledAt = clock.now();
  const example = measuringInputs(spec, 1, golden?.inputs);
  await firstRun(engines[0], session, spec, golden, example);
  memory.sample();
  const endedAt = clock.now();
  return {
    example,
    loadMs: endedAt - startedAt,
    downloadMs: downloadedAt - startedAt,
    compileMs: compiledAt - downloadedAt,
    firstRunMs: endedAt - compiledAt,
    modelBytes: files.reduce((sum, { bytes }) => sum + bytes.byteLength, 0),
  };
}

async function firstRun(
  engine: Engine,
  session: string,
  spec: VariantSpec,
  golden: GoldenCase | undefined,
  example: readonly SharedTensor[],
): Promise<void> {
  const inputs = golden === undefined ? example : joinTensors([golden.inputs]);
  const { tensors } = await engine.run(session, inputs).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what =
      golden === undefined ? 'first run, on zeros (a golden file would bring other inputs),' : 'first run';
    throw new MeshError('MESH_VARIANT_FAILED', `The ${what} failed: ${reason}`, { cause });
  });
  for (const { name, datatype } of spec.outputs) {
    const found = tensors.find((tensor) => tensor.name === name);
    if (found?.datatype === datatype) continue;
    throw new MeshError(
      'MESH_VARIANT_FAILED',
      `Expected output "${name}" to be ${datatype}, got ${found?.datatype ?? 'none'}`,
    );
  }
  if (golden !== undefined) checkGolden(golden, tensors, spec.tolerance);
}
