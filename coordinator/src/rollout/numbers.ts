import type { RegisteredTask, TaskRecord } from '@nearfar/core';
import type { VariantSpec } from '@nearfar/protocol';
import { revisionsOf } from '../catalog.ts';
import { isSameJson } from './same-json.ts';

/** The highest numbers that were given: to revisions of the task, and to those of each variant. */
export type HighestNumbers = NonNullable<TaskRecord['highest']>;

/** Before anything was registered. */
export const NO_NUMBERS: HighestNumbers = { task: 0, variants: {} };

/** The highest numbers of a record, with those of what was dropped from it. */
export function highestOf(record: TaskRecord): HighestNumbers {
  return merged(record.highest ?? NO_NUMBERS, numbersIn(record));
}

/**
 * `task` under numbers that mean nothing else. A number stands for a variant's files in workers, profiles and pages, so one
 * that was given before is only used again for the same files.
 */
export function renumbered(
  task: RegisteredTask,
  kept: readonly RegisteredTask[],
  highest: HighestNumbers,
): RegisteredTask {
  const known = kept.flatMap(({ variants }) => variants);
  const given = new Map(Object.entries(highest.variants));
  const variants = task.variants.map((variant) => {
    const isKnown = known.some(
      (entry) => entry.revision === variant.revision && isSameVariant(entry, variant),
    );
    const revision = Math.max(variant.revision, (given.get(variant.variant) ?? 0) + 1);
    return isKnown ? variant : { ...variant, revision };
  });
  return { ...task, revision: Math.max(task.revision, highest.task + 1), variants };
}

/** `record` that remembers the highest numbers where its own revisions do not show them. */
export function remembering(record: TaskRecord, former: HighestNumbers): TaskRecord {
  const { highest: _, ...own } = record;
  const highest = merged(former, numbersIn(record));
  return isSameJson(highest, numbersIn(record)) ? own : { ...own, highest };
}

function isSameVariant(a: VariantSpec, b: VariantSpec): boolean {
  return a.variant === b.variant && isSameJson(a.artifacts, b.artifacts) && isSameJson(a.cascade, b.cascade);
}

function numbersIn(record: TaskRecord): HighestNumbers {
  return revisionsOf(record)
    .map(({ revision, variants }) => ({
      task: revision,
      variants: Object.fromEntries(variants.map((variant) => [variant.variant, variant.revision])),
    }))
    .reduce(merged, NO_NUMBERS);
}

function merged(a: HighestNumbers, b: HighestNumbers): HighestNumbers {
  const variants = new Map(Object.entries(a.variants));
  for (const [variant, revision] of Object.entries(b.variants)) {
    variants.set(variant, Math.max(revision, variants.get(variant) ?? 0));
  }
  return { task: Math.max(a.task, b.task), variants: Object.fromEntries(variants) };
}
