import type { RegisteredTask } from '@nearfar/core';
import type { Artifact, RegistrationOptions } from '@nearfar/protocol';
import { type Candidate, suppliedCandidates } from './candidate.ts';
import { readManifest } from './read-manifest.ts';
import { readModels } from './read-models.ts';
import type { RegistrationParts } from './registration-parts.ts';
import { revisionsOf, sourceOf, taskOf } from './task-revision.ts';
import { type Signature, signatureOfVariant, signaturesOf } from './task-signature.ts';
import { tryVariants } from './try-variants.ts';
import { factsOf, type VariantFacts } from './variant-facts.ts';

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
  const golden = manifest.golden === undefined ? undefined : await files.read(manifest.golden);
  const source = sourceOf(manifest, models, golden);
  const { runner } = parts;
  if (runner === undefined) {
    // What an earlier, full registration made of the same files is worth more than what they declare; and whoever moved on
    // from these files, or is about to, does not want them back because a mesh starts again.
    if (known !== undefined && revisionsOf(known).some((revision) => revision.source === source))
      return known.active;
    const supplied = await suppliedCandidates(models, artifacts);
    const kept = golden && { path: manifest.golden ?? '', ...(await artifacts.write(golden)) };
    const variants = supplied.map((candidate) => declaredVariant(candidate, signatures, kept));
    return taskOf(manifest, source, variants, [], parts);
  }
  const { variants, rejected } = await tryVariants(manifest, models, signatures, options, {
    ...parts,
    runner,
  });
  emit({ type: 'progress', phase: 'publish', done: 1, total: 1 });
  return taskOf(manifest, source, variants, rejected, parts);
}

/** A supplied variant as the manifest declares it. */
function declaredVariant(
  candidate: Candidate,
  signatures: ReadonlyMap<string, Signature>,
  golden: Artifact | undefined,
): VariantFacts {
  const signature = signatureOfVariant(signatures, candidate.variant);
  const isFree = ({ shape }: Signature['inputs'][number]) => shape[0] === -1;
  return factsOf(candidate, signature, {
    accuracy: { value: candidate.declaredAccuracy ?? 0, source: 'declared', sampleSize: 0 },
    isBatchable: signature.inputs.every(isFree) && signature.outputs.every(isFree),
    golden,
  });
}
