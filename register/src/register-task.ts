import { createHash } from 'node:crypto';
import type { RegisteredTask, TaskRecord } from '@nearfar/core';
import {
  type Artifact,
  MeshError,
  type RegistrationOptions,
  type RejectedVariant,
  type VariantSpec,
} from '@nearfar/protocol';
import { type Candidate, generatedCandidates, suppliedCandidates } from './candidate.ts';
import { makeCascades } from './cascades.ts';
import { keepGolden } from './golden.ts';
import { judge } from './judge.ts';
import { openRows } from './open-rows.ts';
import { type CheckedManifest, readManifest } from './read-manifest.ts';
import { readModels, type SuppliedModel } from './read-models.ts';
import type { RegistrationParts, RunningParts } from './registration-parts.ts';
import { spreadPositions } from './rows.ts';
import { type Signature, signaturesOf } from './task-signature.ts';
import { type Accepted, BaseOutputs, type Trial, type TrialParts, type Trying, tryVariant } from './trial.ts';

/** Largest difference from the golden outputs that passes the self-test on another device, by precision. */
const TOLERANCE: Readonly<Record<Candidate['precision'], number>> = {
  fp32: 1e-3,
  fp16: 2e-2,
  int8: 2e-3,
  // A value that lies between two levels may be rounded to either, and later layers see the difference.
  'int8-dynamic': 0.1,
  mixed: 1e-3,
};

/**
 * Makes a task of a manifest: reads its models, makes further variants of them, tries each on real inputs and keeps those
 * that are right. Gives the task as it is to be registered, or the active revision itself when nothing changed. Nothing is
 * registered here, so whatever stops it leaves the registry as it was; what was made until then is found in the journal.
 *
 * @throws MeshError `MESH_BAD_MANIFEST`, `MESH_BAD_MODEL` or `MESH_BAD_EVAL_DATA` for what is wrong with the input,
 *   `MESH_STORAGE_FULL`; the signal's reason when it aborts.
 */
export async function registerTask(
  json: unknown,
  options: RegistrationOptions,
  parts: RegistrationParts,
): Promise<RegisteredTask> {
  const { files, artifacts, known, emit } = parts;
  const manifest = await readManifest(json, files);
  emit({ type: 'progress', phase: 'read', done: 0, total: manifest.models.length });
  const models = await readModels(manifest, files);
  const signatures = signaturesOf(manifest, models);
  emit({ type: 'progress', phase: 'read', done: models.length, total: models.length });
  const source = sourceOf(manifest, models);
  const { runner } = parts;
  if (runner === undefined) {
    // What an earlier, full registration made of the same files is worth more than what they declare; and whoever moved on
    // from these files, or is about to, does not want them back because a mesh starts again.
    if (known !== undefined && revisionsOf(known).some((revision) => revision.source === source))
      return known.active;
    const supplied = await suppliedCandidates(models, artifacts);
    const variants = await declaredVariants(manifest, supplied, signatures, parts);
    return taskOf(manifest, source, variants, [], parts);
  }
  const { variants, rejected } = await triedVariants(manifest, models, signatures, options, {
    ...parts,
    runner,
  });
  emit({ type: 'progress', phase: 'publish', done: 1, total: 1 });
  return taskOf(manifest, source, variants, rejected, parts);
}

type VariantFacts = Omit<VariantSpec, 'task' | 'revision'>;

/** The supplied variants as the manifest declares them. */
async function declaredVariants(
  manifest: CheckedManifest,
  supplied: readonly Candidate[],
  signatures: ReadonlyMap<string, Signature>,
  { files, artifacts }: RegistrationParts,
): Promise<VariantFacts[]> {
  const golden =
    manifest.golden === undefined
      ? undefined
      : { path: manifest.golden, ...(await artifacts.write(await files.read(manifest.golden))) };
  return supplied.map((candidate) => {
    const signature = signatureOf(signatures, candidate);
    const isFree = ({ shape }: Signature['inputs'][number]) => shape[0] === -1;
    return factsOf(candidate, signature, {
      accuracy: { value: candidate.declaredAccuracy ?? 0, source: 'declared', sampleSize: 0 },
      isBatchable: signature.inputs.every(isFree) && signature.outputs.every(isFree),
      golden,
    });
  });
}

/** Every variant that can be had of the models, each tried. */
async function triedVariants(
  manifest: CheckedManifest,
  models: readonly SuppliedModel[],
  signatures: ReadonlyMap<string, Signature>,
  options: RegistrationOptions,
  parts: RunningParts,
): Promise<{ variants: readonly VariantFacts[]; rejected: readonly RejectedVariant[] }> {
  const { artifacts, journal, emit, signal, runner } = parts;
  const supplied = await suppliedCandidates(models, artifacts);
  const generated = options.generate
    ? await generatedCandidates(models, supplied, {
        artifacts,
        journal,
        signal,
        onProgress: (variant, done, total) =>
          emit({ type: 'progress', phase: 'generate', ...(variant !== '' && { variant }), done, total }),
      })
    : { candidates: [], rejected: [] };

  const tryings = new Map(supplied.map((candidate) => [candidate.variant, tryingOf(signatures, candidate)]));
  const [first] = tryings.values();
  if (first === undefined) throw new MeshError('MESH_BAD_MANIFEST', 'Expected at least one model');
  const { rows, labelled } = await openRows(manifest, first, parts);
  const positions = spreadPositions(rows.count, labelled === undefined ? undefined : options.evalLimit);
  const { postprocess, labels = [] } = manifest;
  const trialParts: TrialParts = {
    runner,
    journal,
    read: (sha256) => artifacts.read(sha256),
    rows,
    labelled,
    positions,
    baseOutputs: new BaseOutputs(),
    classifier: postprocess?.kind === 'classification' ? { rule: postprocess, labels } : undefined,
    signal,
    onProgress: () => undefined,
  };

  const accepted: Accepted[] = [];
  const rejected = [...generated.rejected];
  const trials = new Map<string, Trial>();
  const all = [...supplied, ...generated.candidates];
  for (const [done, candidate] of all.entries()) {
    const { variant, base } = candidate;
    const progress = (rowsDone: number) =>
      emit({
        type: 'progress',
        phase: 'evaluate',
        variant,
        done: done * positions.length + rowsDone,
        total: all.length * positions.length,
      });
    progress(0);
    const trying = tryingOf(signatures, candidate, base);
    const trial = await tryVariant(trying, base === undefined ? undefined : tryings.get(base), {
      ...trialParts,
      onProgress: progress,
    });
    trials.set(variant, trial);
    const baseTrial = base === undefined ? undefined : trials.get(base);
    const verdict =
      trial.kind === 'failed'
        ? ({ kind: 'rejected', reason: trial.reason } as const)
        : judge(candidate, trial, baseTrial?.kind === 'ran' ? baseTrial : undefined, {
            maxAccuracyDrop: options.maxAccuracyDrop,
            metric: labelled?.metric,
            inputs: rows.source,
          });
    if (verdict.kind === 'rejected') {
      // A model that somebody supplies is meant to be served: that it cannot be is for them to know.
      if (candidate.origin === 'supplied') {
        throw new MeshError('MESH_BAD_MODEL', `"${variant}" cannot be served: ${verdict.reason}`);
      }
      rejected.push({ variant, model: candidate.model, reason: verdict.reason.slice(0, 1_024) });
      emit({ type: 'variant', variant, status: 'rejected', reason: verdict.reason });
      continue;
    }
    if (trial.kind === 'ran') accepted.push({ candidate, trying, trial, accuracy: verdict.accuracy });
    emit({ type: 'variant', variant, status: 'accepted' });
  }

  const variants: VariantFacts[] = [];
  for (const { candidate, trying, trial, accuracy } of accepted) {
    const golden = await keepGolden(trying, trial.isBatchable, trialParts, { artifacts, journal });
    variants.push(factsOf(candidate, trying, { accuracy, isBatchable: trial.isBatchable, golden }));
  }
  const cascades = labelled === undefined ? [] : makeCascades(accepted, labelled.metric);
  emit({ type: 'progress', phase: 'cascade', done: cascades.length, total: cascades.length });
  for (const cascade of cascades) emit({ type: 'variant', variant: cascade.variant, status: 'accepted' });
  return { variants: [...variants, ...cascades], rejected };
}

function tryingOf(
  signatures: ReadonlyMap<string, Signature>,
  candidate: Candidate,
  base = candidate.variant,
): Trying {
  const { inputs, outputs } = signatureOf(signatures, { variant: base });
  return { candidate, inputs, outputs };
}

function signatureOf(
  signatures: ReadonlyMap<string, Signature>,
  { variant }: Pick<Candidate, 'variant'>,
): Signature {
  const signature = signatures.get(variant);
  if (signature === undefined) throw new RangeError(`Expected a signature of "${variant}"`);
  return signature;
}

function factsOf(
  { variant, model, precision, format, origin, artifacts }: Candidate,
  { inputs, outputs }: Signature,
  found: Pick<VariantSpec, 'accuracy' | 'isBatchable'> & { readonly golden: Artifact | undefined },
): VariantFacts {
  const { golden, ...rest } = found;
  return {
    variant,
    model,
    precision,
    format,
    origin,
    inputs: [...inputs] as VariantSpec['inputs'],
    outputs: [...outputs] as VariantSpec['outputs'],
    artifacts: [...artifacts],
    tolerance: TOLERANCE[precision],
    ...(golden !== undefined && { golden }),
    ...rest,
  };
}

/** The task with its revision numbers; the active revision itself when it is no different. */
function taskOf(
  manifest: CheckedManifest,
  source: string,
  variants: readonly VariantFacts[],
  rejected: readonly RejectedVariant[],
  { known, wallTime }: RegistrationParts,
): RegisteredTask {
  const { task, kind, labels = [], preprocess, postprocess, defaults = {} } = manifest;
  const revisions = known === undefined ? [] : revisionsOf(known);
  const registered: RegisteredTask = {
    task,
    revision: 1 + Math.max(0, known?.highest?.task ?? 0, ...revisions.map(({ revision }) => revision)),
    kind,
    labels,
    ...(preprocess?.kind === 'image' && { preprocess }),
    ...(preprocess?.kind === 'audio' && { audio: preprocess }),
    ...(postprocess !== undefined && { postprocess }),
    defaults,
    variants: variants.map((facts) => ({ task, revision: revisionOf(facts, revisions), ...facts })),
    rejected,
    source,
    registeredAt: new Date(wallTime()).toISOString(),
  };
  return known !== undefined && isSame(registered, known.active) ? known.active : registered;
}

function revisionsOf({ active, previous, next }: TaskRecord): RegisteredTask[] {
  return [active, previous, next?.task].filter((entry) => entry !== undefined);
}

/** A variant whose files are those of an earlier revision keeps its number, and with it what was measured of it. */
function revisionOf(facts: VariantFacts, revisions: readonly RegisteredTask[]): number {
  const former = revisions
    .flatMap(({ variants }) => variants)
    .filter(({ variant }) => variant === facts.variant);
  const same = former.find((entry) => filesOf(entry) === filesOf(facts));
  return same?.revision ?? 1 + Math.max(0, ...former.map(({ revision }) => revision));
}

function filesOf({ artifacts, cascade }: VariantFacts): string {
  return JSON.stringify([artifacts.map(({ sha256 }) => sha256), cascade]);
}

function isSame(a: RegisteredTask, b: RegisteredTask): boolean {
  const comparable = ({ revision: _, registeredAt: __, ...rest }: RegisteredTask) =>
    JSON.stringify(sorted(rest));
  return comparable(a) === comparable(b);
}

/** A value whose objects have their keys in one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, entry]) => [key, sorted(entry)]),
  );
}

/** What a task is made from, as one hash: the manifest and the contents of its models. */
function sourceOf(manifest: CheckedManifest, models: readonly SuppliedModel[]): string {
  const hash = createHash('sha256').update(JSON.stringify(sorted(manifest)));
  for (const { files } of models)
    for (const { path, bytes } of files) hash.update(`\n${path}\n`).update(bytes);
  return hash.digest('hex');
}
