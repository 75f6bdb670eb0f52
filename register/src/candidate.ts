import type { ArtifactStore } from '@nearfar/core';
import type { Artifact, RejectedVariant, VariantSpec } from '@nearfar/protocol';
import type { Journal } from './journal.ts';
import { stepKey } from './journal.ts';
import type { Made } from './made.ts';
import type { ModelProto } from './onnx/generated/onnx_pb.ts';
import { makeFp16 } from './onnx/make-fp16.ts';
import { makeInt8Dynamic } from './onnx/make-int8-dynamic.ts';
import { makeInt8Weights } from './onnx/make-int8-weights.ts';
import { encodeOnnx } from './onnx/read-onnx.ts';
import type { SuppliedModel, VariantFile } from './read-models.ts';
import { makeTfjs, type TfjsModel } from './tfjs/make-tfjs.ts';

/** A variant that was supplied or made, before anybody knows whether it is any good. */
export interface Candidate {
  readonly variant: string;
  readonly model: string;
  readonly precision: VariantSpec['precision'];
  readonly format: 'onnx' | 'tfjs';
  readonly origin: VariantSpec['origin'];
  /** The supplied variant that it was made from; undefined for supplied ones. */
  readonly base: string | undefined;
  readonly declaredAccuracy: number | undefined;
  /** Its files in the artifact store, the entry file first. */
  readonly artifacts: readonly Artifact[];
}

/** Counts up whenever a generator makes other bytes from the same model, so that kept results are made anew. */
const GENERATORS_VERSION = 2;

interface Maker {
  readonly precision: VariantSpec['precision'];
  readonly format: 'onnx' | 'tfjs';
  readonly make: (graph: ModelProto, entryName: string) => Made<readonly VariantFile[]>;
}

/** What is made from each fp32 ONNX model; `docs/variants.md` describes each. */
const MAKERS: readonly Maker[] = [
  { precision: 'fp16', format: 'onnx', make: onnx(makeFp16) },
  { precision: 'int8', format: 'onnx', make: onnx(makeInt8Weights) },
  { precision: 'int8-dynamic', format: 'onnx', make: onnx(makeInt8Dynamic) },
  { precision: 'fp32', format: 'tfjs', make: (graph) => tfjs(makeTfjs(graph, { weights: 'fp32' })) },
  { precision: 'fp16', format: 'tfjs', make: (graph) => tfjs(makeTfjs(graph, { weights: 'fp16' })) },
];

export interface MakeParts {
  readonly artifacts: ArtifactStore;
  readonly journal: Journal;
  readonly signal: AbortSignal;
  readonly onProgress: (variant: string, done: number, total: number) => void;
}

/** Keeps the supplied models' files and gives them as candidates. */
export async function suppliedCandidates(
  models: readonly SuppliedModel[],
  artifacts: ArtifactStore,
): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  for (const { files, graph: _, ...facts } of models) {
    const kept = await keepFiles(files, artifacts);
    candidates.push({ ...facts, origin: 'supplied', base: undefined, artifacts: kept });
  }
  return candidates;
}

/** Makes every further variant of the fp32 ONNX models, unless the manifest brings one of that name itself. */
export async function generatedCandidates(
  models: readonly SuppliedModel[],
  supplied: readonly Candidate[],
  parts: MakeParts,
): Promise<{ readonly candidates: readonly Candidate[]; readonly rejected: readonly RejectedVariant[] }> {
  const taken = new Set(supplied.map(({ variant }) => variant));
  const jobs = models
    .filter(({ precision, graph }) => precision === 'fp32' && graph !== undefined)
    .flatMap((model) => MAKERS.map((maker) => ({ model, maker, variant: idOf(model.model, maker) })))
    .filter(({ variant }) => !taken.has(variant));
  const candidates: Candidate[] = [];
  const rejected: RejectedVariant[] = [];
  for (const [done, { model, maker, variant }] of jobs.entries()) {
    parts.signal.throwIfAborted();
    parts.onProgress(variant, done, jobs.length);
    const result = await make(model, maker, parts);
    if (result.kind === 'left-out') {
      rejected.push({ variant, model: model.model, reason: result.reason.slice(0, 1_024) });
      continue;
    }
    candidates.push({
      variant,
      model: model.model,
      precision: maker.precision,
      format: maker.format,
      origin: 'generated',
      base: model.variant,
      declaredAccuracy: model.declaredAccuracy,
      artifacts: result.value,
    });
  }
  parts.onProgress(jobs.at(-1)?.variant ?? '', jobs.length, jobs.length);
  return { candidates, rejected };
}

function idOf(model: string, { precision, format }: Pick<Maker, 'precision' | 'format'>): string {
  return `${model}-${precision}-${format}`;
}

/** Makes one variant, or takes it from the journal where it was made before and its files are still there. */
async function make(
  model: SuppliedModel,
  maker: Maker,
  { artifacts, journal }: MakeParts,
): Promise<Made<readonly Artifact[]>> {
  const { graph } = model;
  if (graph === undefined)
    return { kind: 'left-out', reason: 'only ONNX models are made into further variants' };
  const entry = `${idOf(model.model, maker)}.onnx`;
  const base = (await keepFiles(model.files, artifacts)).map(({ sha256 }) => sha256).join();
  const key = stepKey('make', GENERATORS_VERSION, base, maker.precision, maker.format, entry);
  const kept = (await journal.find(key)) as Made<readonly Artifact[]> | undefined;
  if (kept !== undefined && (kept.kind === 'left-out' || (await areKept(kept.value, artifacts)))) return kept;
  let made: Made<readonly VariantFile[]>;
  try {
    made = maker.make(graph, entry);
  } catch (error) {
    // What trips a generator up is no reason to refuse the model itself. Not kept: a later version may do better.
    return { kind: 'left-out', reason: `it cannot be made: ${(error as Error).message}` };
  }
  const result: Made<readonly Artifact[]> =
    made.kind === 'made' ? { kind: 'made', value: await keepFiles(made.value, artifacts) } : made;
  await journal.keep(key, result);
  return result;
}

async function areKept(files: readonly Artifact[], artifacts: ArtifactStore): Promise<boolean> {
  for (const { sha256, sizeBytes } of files) if ((await artifacts.sizeOf(sha256)) !== sizeBytes) return false;
  return true;
}

async function keepFiles(files: readonly VariantFile[], artifacts: ArtifactStore): Promise<Artifact[]> {
  const kept: Artifact[] = [];
  for (const { path, bytes } of files) kept.push({ path, ...(await artifacts.write(bytes)) });
  return kept;
}

function onnx(make: (graph: ModelProto) => Made<ModelProto>): Maker['make'] {
  return (graph, path) => {
    const made = make(graph);
    return made.kind === 'made' ? { kind: 'made', value: [{ path, bytes: encodeOnnx(made.value) }] } : made;
  };
}

function tfjs(made: Made<TfjsModel>): Made<readonly VariantFile[]> {
  if (made.kind === 'left-out') return made;
  const { modelJson, weights } = made.value;
  return { kind: 'made', value: [{ path: 'model.json', bytes: modelJson }, ...weights] };
}
