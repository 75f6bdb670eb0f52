import type { LiveSketch } from '@nearfar/core';
import type { ProfileReport, VariantSpec } from '@nearfar/protocol';
import { modelBytes } from './choose-variants.ts';
import type { EngineName } from './types.ts';

/**
 * Compressed bytes of each runtime that a page downloads before its first run; part of what browser work costs. The
 * first layers model of a page brings another 60 kB, which are not counted.
 */
export const RUNTIME_BYTES: Readonly<Record<EngineName, number>> = {
  'tfjs-webgpu': 180_000,
  'ort-webgpu': 6_600_000,
  'ort-wasm': 3_700_000,
};

/** What it took to make a variant ready, in milliseconds. */
export interface LoadTimes {
  /** Fetching the files; undefined when the browser had some of them already, since that tells nothing of the next page. */
  readonly downloadMs: number | undefined;
  /** Creating the session. */
  readonly compileMs: number;
  /** The first run, in which kernels and shaders are compiled. */
  readonly firstRunMs: number;
}

/** A variant that is ready in this page, and what was measured of it. */
export interface LocalVariant {
  readonly spec: VariantSpec;
  readonly engine: EngineName;
  readonly times: LiveSketch;
  readonly load: LoadTimes;
  failures: number;
  /** Runs that were ever measured, and those of them that have arrived at the mesh. */
  measuredRuns: number;
  reportedRuns: number;
}

/**
 * What was measured of a variant, for the mesh.
 *
 * @param startMs what it took its engine to start; the whole load is from nothing, so that is in it, whichever variant the
 * engine was started for.
 */
export function profileOf(
  { spec, engine, times, load }: LocalVariant,
  startMs: number,
): Omit<ProfileReport, 'deviceClass' | 'epoch' | 'version'> {
  const { downloadMs, compileMs, firstRunMs } = load;
  return {
    task: spec.task,
    variant: spec.variant,
    revision: spec.revision,
    batch: 1,
    computeMs: times.sketch.toData(),
    ...(downloadMs !== undefined && { loadMs: startMs + downloadMs + compileMs + firstRunMs, downloadMs }),
    compileMs,
    firstRunMs,
    modelBytes: modelBytes(spec),
    runtimeBytes: RUNTIME_BYTES[engine],
  };
}
