import { MeshError, type RegistrationOptions, type RejectedVariant } from '@nearfar/protocol';
import { type Candidate, generatedCandidates, suppliedCandidates } from './candidate.ts';
import { makeCascades } from './cascades.ts';
import { keepGolden } from './golden.ts';
import { judge, type Verdict } from './judge.ts';
import { openRows } from './open-rows.ts';
import type { CheckedManifest } from './read-manifest.ts';
import type { SuppliedModel } from './read-models.ts';
import type { RunningParts } from './registration-parts.ts';
import { type LabelledRows, type Rows, spreadPositions } from './rows.ts';
import { type Signature, signatureOfVariant } from './task-signature.ts';
import {
  type Accepted,
  BaseOutputs,
  isRuntimeFailure,
  type Ran,
  type TrialParts,
  type Trying,
  tryVariant,
} from './trial.ts';
import { factsOf, type VariantFacts } from './variant-facts.ts';

/** Parts of the whole after which progress is told of again. */
const PROGRESS_STEPS = 1_000;
/** Characters of a reason that are kept. */
const MAX_REASON = 1_024;

/** What came of trying every variant that can be had of the models. */
export interface TriedVariants {
  readonly variants: readonly VariantFacts[];
  readonly rejected: readonly RejectedVariant[];
}

/** Makes every variant that can be had of the models, tries each, and makes cascades of those that are good enough. */
export async function tryVariants(
  manifest: CheckedManifest,
  models: readonly SuppliedModel[],
  signatures: ReadonlyMap<string, Signature>,
  options: RegistrationOptions,
  parts: RunningParts,
): Promise<TriedVariants> {
  const { artifacts, journal, emit } = parts;
  const supplied = await suppliedCandidates(models, artifacts);
  const tryingOf = (candidate: Candidate): Trying => {
    const { inputs, outputs } = signatureOfVariant(signatures, candidate.base ?? candidate.variant);
    return { candidate, inputs, outputs };
  };
  const [first] = supplied;
  if (first === undefined) throw new MeshError('MESH_BAD_MANIFEST', 'Expected at least one model');
  // Before anything is made, so that data that do not fit are said at once.
  const { rows, labelled } = await openRows(manifest, tryingOf(first), parts).catch((error: unknown) => {
    throw isRuntimeFailure(error) ? cannotBeServed(first, error.message) : error;
  });
  const generated = options.generate ? await generate(models, supplied, parts) : NOTHING;
  const tryings = [...supplied, ...generated.candidates].map(tryingOf);
  const trialParts = trialPartsOf(manifest, rows, labelled, options, parts);
  const { accepted, rejected } = await tryAll(tryings, trialParts, options, parts);

  const variants: VariantFacts[] = [];
  for (const { candidate, trying, trial, accuracy } of accepted) {
    const golden = await keepGolden(trying, trial.isBatchable, trialParts, { artifacts, journal });
    variants.push(factsOf(candidate, trying, { accuracy, isBatchable: trial.isBatchable, golden }));
  }
  const cascades = labelled === undefined ? [] : makeCascades(accepted, labelled.metric);
  emit({ type: 'progress', phase: 'cascade', done: cascades.length, total: cascades.length });
  for (const { variant } of cascades) emit({ type: 'variant', variant, status: 'accepted' });
  return { variants: [...variants, ...cascades], rejected: [...generated.rejected, ...rejected] };
}

const NOTHING = { candidates: [], rejected: [] } as const;

async function generate(
  models: readonly SuppliedModel[],
  supplied: readonly Candidate[],
  { artifacts, journal, signal, emit }: RunningParts,
) {
  const generated = await generatedCandidates(models, supplied, {
    artifacts,
    journal,
    signal,
    onProgress: (variant, done, total) =>
      emit({ type: 'progress', phase: 'generate', ...(variant !== '' && { variant }), done, total }),
  });
  for (const { variant, reason } of generated.rejected)
    emit({ type: 'variant', variant, status: 'rejected', reason });
  return generated;
}

function trialPartsOf(
  { postprocess, labels = [] }: CheckedManifest,
  rows: Rows,
  labelled: LabelledRows | undefined,
  { evalLimit }: RegistrationOptions,
  { runner, journal, artifacts, signal }: RunningParts,
): TrialParts {
  return {
    runner,
    journal,
    read: (sha256) => artifacts.read(sha256),
    rows,
    labelled,
    positions: spreadPositions(rows.count, labelled === undefined ? undefined : evalLimit),
    baseOutputs: new BaseOutputs(),
    classifier: postprocess?.kind === 'classification' ? { rule: postprocess, labels } : undefined,
    signal,
    onProgress: () => undefined,
  };
}

/** Tries one variant after another; bases come before what was made of them. */
async function tryAll(
  tryings: readonly Trying[],
  trialParts: TrialParts,
  { maxAccuracyDrop }: RegistrationOptions,
  { emit }: RunningParts,
): Promise<{ readonly accepted: readonly Accepted[]; readonly rejected: readonly RejectedVariant[] }> {
  const { rows, labelled, positions } = trialParts;
  const bar = { maxAccuracyDrop, metric: labelled?.metric, inputs: rows.source };
  const accepted: Accepted[] = [];
  const rejected: RejectedVariant[] = [];
  const bases = new Map<string, { readonly trying: Trying; readonly trial: Ran }>();
  for (const [index, trying] of tryings.entries()) {
    const { candidate } = trying;
    const { variant, model } = candidate;
    const base = candidate.base === undefined ? undefined : bases.get(candidate.base);
    const onProgress = inSteps(index * positions.length, tryings.length * positions.length, (done, total) =>
      emit({ type: 'progress', phase: 'evaluate', variant, done, total }),
    );
    onProgress(0);
    const trial = await tryVariant(trying, base?.trying, { ...trialParts, onProgress });
    const verdict: Verdict =
      trial.kind === 'failed'
        ? { kind: 'rejected', reason: trial.reason }
        : judge(candidate, trial, base?.trial, bar);
    if (trial.kind === 'ran' && verdict.kind === 'accepted') {
      if (candidate.origin === 'supplied') bases.set(variant, { trying, trial });
      accepted.push({ candidate, trying, trial, accuracy: verdict.accuracy });
      emit({ type: 'variant', variant, status: 'accepted' });
    } else if (verdict.kind === 'rejected') {
      // A model that somebody supplies is meant to be served: that it cannot be is for them to know.
      if (candidate.origin === 'supplied') throw cannotBeServed(candidate, verdict.reason);
      const reason = verdict.reason.slice(0, MAX_REASON);
      rejected.push({ variant, model, reason });
      emit({ type: 'variant', variant, status: 'rejected', reason });
    }
  }
  return { accepted, rejected };
}

/** Tells of progress, but not of every row: a registration may have millions, and each line goes through the mesh. */
function inSteps(before: number, total: number, tell: (done: number, total: number) => void) {
  let told = -1;
  return (rows: number) => {
    const step = Math.floor((PROGRESS_STEPS * (before + rows)) / total);
    if (step === told) return;
    told = step;
    tell(before + rows, total);
  };
}

function cannotBeServed({ variant }: Candidate, reason: string): MeshError {
  return new MeshError('MESH_BAD_MODEL', `"${variant}" cannot be served: ${reason}`);
}
