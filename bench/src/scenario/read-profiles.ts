import { badScenario } from './bad-scenario.ts';
import { readCsv } from './csv.ts';
import type { ProfileRow } from './scenario.ts';

const COLUMNS = [
  'task',
  'variant',
  'device_class',
  'batch',
  'p50_ms',
  'p90_ms',
  'p99_ms',
  'accuracy',
  'load_ms',
  'memory_bytes',
] as const;

/** A batch is formed for each size up to the largest, so that it stays a size that somebody would run. */
const MAX_BATCH = 4_096;
/** A time of nothing has no logarithm. */
const LEAST_MS = 1e-6;

/** Reads `profiles.csv`. Every task has to be one of `tasks`, so that a misspelt one is not passed over. */
export async function readProfiles(file: string, tasks: readonly string[]): Promise<ProfileRow[]> {
  const rows: ProfileRow[] = [];
  const lines = new Map<string, number>();
  for await (const row of readCsv(file, { required: COLUMNS, optional: ['weight_bytes'] })) {
    const task = row.text('task');
    if (!tasks.includes(task)) {
      throw badScenario(
        row.spot('task'),
        `Unknown task "${task}": expected one of the scenario's, ${tasks.join(', ')}`,
      );
    }
    const variant = row.text('variant');
    const deviceClass = row.text('device_class');
    const batch = row.number('batch', { least: 1, most: MAX_BATCH, isWhole: true });
    const key = JSON.stringify([task, variant, deviceClass, batch]);
    const before = lines.get(key);
    if (before !== undefined) {
      throw badScenario(
        row.spot('batch'),
        `Expected one line for ${task}/${variant} on ${deviceClass} at batch ${batch}, found another in line ${before}`,
      );
    }
    lines.set(key, row.line);
    const p50Ms = row.optional('p50_ms', { least: LEAST_MS });
    const p90Ms = row.optional('p90_ms', { least: LEAST_MS });
    const p99Ms = row.optional('p99_ms', { least: LEAST_MS });
    const known = [p50Ms, p90Ms, p99Ms].filter((ms) => ms !== undefined);
    if (known.length === 0) {
      throw badScenario(row.spot('p50_ms'), 'Expected p50_ms, p90_ms or p99_ms, found none of them');
    }
    if (known.some((ms, index) => ms < (known[index - 1] ?? 0))) {
      throw badScenario(row.spot('p99_ms'), `Expected quantiles that rise, found ${known.join(', ')}`);
    }
    const weightBytes = row.optional('weight_bytes');
    rows.push({
      task,
      variant,
      deviceClass,
      batch,
      ...(p50Ms !== undefined && { p50Ms }),
      ...(p90Ms !== undefined && { p90Ms }),
      ...(p99Ms !== undefined && { p99Ms }),
      accuracy: row.number('accuracy', { most: 1 }),
      loadMs: row.number('load_ms'),
      memoryBytes: row.number('memory_bytes'),
      ...(weightBytes !== undefined && { weightBytes }),
    });
  }
  if (rows.length === 0) throw badScenario({ file }, 'Expected at least one profile, found none');
  return rows;
}
