import { readMesh, tasksNamed } from '../listing.ts';
import { callMesh, type MeshAddress } from '../mesh-client.ts';
import { formatTable } from '../table.ts';

interface ProfileOptions extends MeshAddress {
  readonly batch?: number;
  readonly json?: boolean;
}

/** A line of `GET /v1/profiles`. */
interface ProfileLine {
  readonly task: string;
  readonly variant: string;
  readonly revision: number;
  readonly deviceClass: string;
  readonly batch: number;
  readonly samples: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly downloadMs?: number;
  readonly compileMs?: number;
  readonly firstRunMs?: number;
  readonly memoryBytes?: number;
  readonly peakMemoryBytes?: number;
  readonly modelBytes?: number;
  readonly runtimeBytes?: number;
  readonly ageMs: number;
  readonly isStale: boolean;
}

const HEADER = [
  'task',
  'variant',
  'device class',
  'batch',
  'samples',
  'p50 ms',
  'p90 ms',
  'p99 ms',
  'download ms',
  'compile ms',
  'first run ms',
  'memory MiB',
  'peak MiB',
  'model KiB',
  'runtime KiB',
  'age',
] as const;

/** `nearfar profile`: prints what was measured of each variant, on each device class, at each batch size. */
export async function profile(task: string | undefined, options: ProfileOptions): Promise<void> {
  const { profiles } = (await callMesh(options, '/v1/profiles')) as { profiles: readonly ProfileLine[] };
  const lines = profiles.filter(
    (line) =>
      (task === undefined || line.task === task) &&
      (options.batch === undefined || line.batch === options.batch),
  );
  if (lines.length === 0) tasksNamed(task, (await readMesh(options)).tasks);
  if (options.json) {
    process.stdout.write(`${JSON.stringify(lines)}\n`);
    return;
  }
  if (lines.length === 0) {
    process.stdout.write('Nothing was measured yet.\n');
    return;
  }
  process.stdout.write(`${formatTable(HEADER, lines.map(row))}\n`);
}

function row(line: ProfileLine): (string | number)[] {
  return [
    line.task,
    line.variant,
    line.deviceClass,
    line.batch,
    line.samples,
    milliseconds(line.p50Ms),
    milliseconds(line.p90Ms),
    milliseconds(line.p99Ms),
    optional(line.downloadMs, milliseconds),
    optional(line.compileMs, milliseconds),
    optional(line.firstRunMs, milliseconds),
    optional(line.memoryBytes, mebibytes),
    optional(line.peakMemoryBytes, mebibytes),
    optional(line.modelBytes, kibibytes),
    optional(line.runtimeBytes, kibibytes),
    `${age(line.ageMs)}${line.isStale ? ', stale' : ''}`,
  ];
}

function optional(value: number | undefined, format: (value: number) => number): number | string {
  return value === undefined ? '' : format(value);
}

function milliseconds(value: number): number {
  return Number(value.toPrecision(3));
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}

function kibibytes(bytes: number): number {
  return Math.round(bytes / 1024);
}

function age(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}
