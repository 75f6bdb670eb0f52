import type { Accuracy, ParetoLineBody, TaskInfo } from '@nearfar/protocol';
import { formatTable } from './table.ts';

type Variant = TaskInfo['variants'][number];

/** Pareto lines of each task, by its name. */
export type Pareto = ReadonlyMap<string, readonly ParetoLineBody[]>;

/**
 * The variants of tasks as a table, one line for each device class that a variant was measured on, and below it what was
 * rejected and why.
 */
export function formatVariants(tasks: readonly TaskInfo[], pareto: Pareto = new Map()): string {
  const rows = tasks.flatMap((task) => task.variants.flatMap((variant) => rowsOf(task, variant, pareto)));
  const header = [
    'task',
    'variant',
    'rev',
    'accuracy',
    'against its base',
    'KiB',
    'tiers',
    'device class',
    'p50 ms',
    'p99 ms',
    '$ per 1,000',
    'dominated by',
  ];
  return [formatTable(header, rows), ...tasks.flatMap(revisionNotes), ...tasks.flatMap(rejectedNotes)].join(
    '\n',
  );
}

function rowsOf({ task }: TaskInfo, variant: Variant, pareto: Pareto): (string | number)[][] {
  const line = pareto.get(task)?.find((entry) => entry.variant === variant.variant);
  const facts = [
    task,
    variant.variant,
    variant.revision,
    describeAccuracy(variant.accuracy),
    describeLoss(variant),
    Math.round((line?.sizeBytes ?? sizeBytes(variant)) / 1024),
    variant.tiers.join(', ') || 'none',
  ];
  const cells = line?.cells ?? [];
  const unmeasured = variant.format === 'cascade' ? 'as its stages' : 'not measured yet';
  if (cells.length === 0) return [[...facts, unmeasured, '', '', '', '']];
  return cells.map(({ deviceClass, p50Ms, p99Ms, costs, dominatedBy }, index) => [
    ...(index === 0 ? facts : facts.map(() => '')),
    deviceClass,
    Number(p50Ms.toPrecision(3)),
    Number(p99Ms.toPrecision(3)),
    costs.map(({ tier, usdPer1000 }) => `${tier} ${usdPer1000.toPrecision(2)}`).join(', '),
    dominatedBy ?? '',
  ]);
}

/** Bytes of a variant's own files. */
export function sizeBytes({ artifacts }: Pick<Variant, 'artifacts'>): number {
  return artifacts.reduce((sum, artifact) => sum + artifact.sizeBytes, 0);
}

function describeAccuracy({ value, source, sampleSize, metric, interval }: Accuracy): string {
  if (source === 'measured' && interval !== undefined) {
    const what = metric === undefined || metric === 'top-1' ? 'measured' : `${metric}, measured`;
    return `${percent(value)} (${what} on ${sampleSize}, ${percent(interval.low)} to ${percent(interval.high)})`;
  }
  // Nothing declared, less something, is not "at least 0 %".
  if (value === 0) return 'not declared';
  return source === 'agreement'
    ? `≥ ${percent(value)} (declared, less disagreement)`
    : `${percent(value)} (${source})`;
}

function describeLoss({ accuracy, cascade }: Variant): string {
  const { drop, agreement } = accuracy;
  const parts = [];
  if (drop !== undefined) {
    parts.push(describeDrop(drop));
  }
  if (agreement !== undefined) {
    const { value, sampleSize, inputs } = agreement;
    parts.push(
      `agreement ${percent(value)} on ${sampleSize} ${inputs === 'samples' ? 'sample inputs' : inputs}`,
    );
  }
  if (cascade !== undefined) {
    const { value, interval } = cascade.escalation;
    parts.push(`escalates ${percent(value)} (${percent(interval.low)} to ${percent(interval.high)})`);
  }
  return parts.join(', ');
}

function describeDrop({ value, low, high }: NonNullable<Accuracy['drop']>): string {
  return value < 0
    ? `gains ${points(-value)} points (${points(-high)} to ${points(-low)})`
    : `loses ${points(value)} points (${points(low)} to ${points(high)})`;
}

function revisionNotes({ task, revision, rollout, previousRevision }: TaskInfo): string[] {
  const notes = [];
  if (rollout !== undefined) {
    const share = rollout.mode === 'now' ? '' : ` of ${percent(rollout.share)}`;
    notes.push(
      `${task}: revision ${rollout.revision} is ${rollout.state} (${rollout.mode}${share}); ${revision} serves`,
    );
  }
  if (previousRevision !== undefined) {
    notes.push(`${task}: "nearfar rollback ${task}" brings back revision ${previousRevision}`);
  }
  return notes.length === 0 ? [] : ['', ...notes];
}

function rejectedNotes({ task, rejected }: TaskInfo): string[] {
  if (rejected.length === 0) return [];
  const rows = rejected.map(({ variant, reason }) => [task, variant, reason]);
  return ['', formatTable(['task', 'not served', 'reason'], rows)];
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

function points(share: number): string {
  return (share * 100).toFixed(2);
}
