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
 * `task` under numbers that mean nothing else. A number stands for what workers and pages load and what was measured of it,
 * so a variant that is known keeps its own, and no other one is given twice.
 */
export function renumbered(
  task: RegisteredTask,
  kept: readonly RegisteredTask[],
  highest: HighestNumbers,
): RegisteredTask {
  const known = kept.flatMap(({ variants }) => variants);
  const given = new Map(Object.entries(highest.variants));
  const variants = task.variants.map((variant) => {
    const same = known.find((entry) => isSameVariant(entry, variant));
    const revision = same?.revision ?? Math.max(variant.revision, (given.get(variant.variant) ?? 0) + 1);
    return { ...variant, revision };
  });
  return { ...task, revision: Math.max(task.revision, highest.task + 1), variants };
}

/** `record` that remembers the highest numbers where its own revisions do not show them. */
export function remembering(record: TaskRecord, former: HighestNumbers): TaskRecord {
  const { highest: _, ...own } = record;
  const highest = merged(former, numbersIn(record));
  return isSameJson(highest, numbersIn(record)) ? own : { ...own, highest };
}

/** Whether a worker that holds the one holds the other: its files, and what it makes of tensors, are the same. */
function isSameVariant(a: VariantSpec, b: VariantSpec): boolean {
  return isSameJson(heldOf(a), heldOf(b));
}

function heldOf({ variant, artifacts, cascade, inputs, outputs, isBatchable }: VariantSpec) {
  return { variant, artifacts, cascade, inputs, outputs, isBatchable };
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
