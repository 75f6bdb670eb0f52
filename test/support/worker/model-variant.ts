import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Artifact, VariantSpec } from '@nearfar/protocol';
import type { ArtifactSource, ModelSource } from '@nearfar/worker';

/** A variant and the bytes of its files by SHA-256. */
export interface TestVariant {
  readonly spec: VariantSpec;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What a test says of a variant; `folder` ends with a slash, `golden` is a file in it or bytes. */
export interface VariantFiles
  extends Pick<VariantSpec, 'task' | 'model' | 'inputs' | 'outputs'>,
    Partial<Pick<VariantSpec, 'format' | 'isBatchable' | 'tolerance'>> {
  readonly folder: URL;
  /** The entry file first. */
  readonly paths: readonly string[];
  readonly golden?: string | Uint8Array;
}

/** Reads the files of a model and describes it as a variant. */
export async function modelVariant(options: VariantFiles): Promise<TestVariant> {
  const { folder, paths, golden, format = 'onnx', isBatchable = true, tolerance = 1e-3, ...rest } = options;
  const files = new Map<string, Uint8Array>();
  const add = (path: string, bytes: Uint8Array): Artifact => {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    files.set(sha256, bytes);
    return { path, sha256, sizeBytes: bytes.byteLength };
  };
  const read = async (path: string) => add(path, await readFile(new URL(path, folder)));
  const artifacts: Artifact[] = [];
  for (const path of paths) artifacts.push(await read(path));
  const known =
    golden === undefined
      ? undefined
      : typeof golden === 'string'
        ? await read(golden)
        : add('golden.json', golden);
  const spec: VariantSpec = {
    ...rest,
    variant: `${rest.model}-fp32-${format}`,
    revision: 1,
    precision: 'fp32',
    format,
    origin: 'supplied',
    accuracy: { value: 0.9, source: 'declared', sampleSize: 0 },
    artifacts,
    ...(known === undefined ? {} : { golden: known }),
    tolerance,
    isBatchable,
  };
  return { spec, files };
}

/** The files of a variant as an engine thread takes them. */
export function modelSource({ spec, files }: TestVariant): ModelSource {
  const { format, inputs, outputs, artifacts } = spec;
  if (format === 'cascade') throw new Error('Expected a variant of its own, got a cascade');
  const shared = (artifact: Artifact) => {
    const bytes = files.get(artifact.sha256) ?? new Uint8Array();
    const copy = new Uint8Array(new SharedArrayBuffer(bytes.byteLength));
    copy.set(bytes);
    return { path: artifact.path, bytes: copy.buffer };
  };
  return { format, files: artifacts.map(shared), inputs, outputs };
}

/** Gives the files of variants; those named in `replaced` (by path) with other bytes. */
export function sourceOf(
  variants: TestVariant | readonly TestVariant[],
  replaced: Readonly<Record<string, Uint8Array>> = {},
): ArtifactSource {
  const all = [variants].flat();
  return {
    fetch: (artifact) => {
      const stored = all.find(({ files }) => files.has(artifact.sha256))?.files.get(artifact.sha256);
      const bytes = replaced[artifact.path] ?? stored;
      return bytes === undefined ? Promise.reject(new Error(`no ${artifact.path}`)) : Promise.resolve(bytes);
    },
  };
}
