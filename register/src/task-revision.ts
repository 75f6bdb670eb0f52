import { createHash } from 'node:crypto';
import type { RegisteredTask, TaskRecord } from '@nearfar/core';
import type { RejectedVariant } from '@nearfar/protocol';
import type { CheckedManifest } from './read-manifest.ts';
import type { SuppliedModel } from './read-models.ts';
import type { RegistrationParts } from './registration-parts.ts';
import type { VariantFacts } from './variant-facts.ts';

/** The task with its revision numbers; the active revision itself when it is no different. */
export function taskOf(
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

/** The revisions that a record holds. */
export function revisionsOf({ active, previous, next }: TaskRecord): RegisteredTask[] {
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
  return JSON.stringify(sorted([artifacts.map(({ sha256 }) => sha256), cascade]));
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

/** What a task is made from, as one hash: the manifest and the contents of its models and its golden file. */
export function sourceOf(
  manifest: CheckedManifest,
  models: readonly SuppliedModel[],
  golden: Uint8Array | undefined,
): string {
  const hash = createHash('sha256').update(JSON.stringify(sorted(manifest)));
  for (const { files } of models)
    for (const { path, bytes } of files) hash.update(`\n${path}\n`).update(bytes);
  if (golden !== undefined) hash.update('\ngolden\n').update(golden);
  return hash.digest('hex');
}
