import type { ProfileInfo } from '../api.ts';
import { element } from '../dom.ts';
import { formatAge, formatBytes, formatMs } from '../format.ts';
import { deviceClassText } from './device-class.ts';

/** Heads of the table, in the order of a row's cells. */
export const PROFILE_HEADS = [
  'Variant',
  'Batch',
  'p50 / p99',
  'Samples',
  'From nothing to the first answer',
  'Memory',
  'Model + runtime',
  'Age',
] as const;

/** A profile as its row shows it: with its age in words, which change seldom. */
export interface ProfileItem extends Omit<ProfileInfo, 'ageMs'> {
  readonly age: string;
}

/** The profiles of a task, of the revisions that are served. */
export function profileItems(profiles: readonly ProfileInfo[]): ProfileItem[] {
  return profiles.map(({ ageMs, ...rest }) => ({ ...rest, age: formatAge(ageMs) }));
}

export function profileKey({ variant, revision, deviceClass, batch }: ProfileItem): string {
  return `${variant}@${revision} ${deviceClass} ${batch}`;
}

export function profileRow(profile: ProfileItem): HTMLTableRowElement {
  const { variant, deviceClass, batch, p50Ms, p99Ms, samples, reporters, age, isStale } = profile;
  const cells = [
    String(batch),
    `${formatMs(p50Ms)} / ${formatMs(p99Ms)}`,
    element(
      'span',
      {},
      samples.toLocaleString('en'),
      reporters > 1 && element('span', { class: 'faint' }, `of ${reporters} reporters`),
    ),
    loadCell(profile),
    memoryCell(profile),
    bytesCell(profile),
    element('span', {}, `${age} `, isStale && element('span', { class: 'stale' }, 'stale')),
  ];
  return element(
    'tr',
    {},
    element('th', { scope: 'row' }, variant, deviceClassText(deviceClass)),
    ...cells.map((cell, index) => element('td', { 'data-head': PROFILE_HEADS[index + 1] }, cell)),
  );
}

/** A page that had the files already tells no whole, only what it still had to do. */
function loadCell({ loadMs, downloadMs, compileMs, firstRunMs }: ProfileItem): HTMLElement | string {
  const parts: [string, number | undefined][] = [
    ['download', downloadMs],
    ['session', compileMs],
    ['first run', firstRunMs],
  ];
  const known = parts.flatMap(([name, ms]) => (ms === undefined ? [] : [`${name} ${formatMs(ms)}`]));
  if (loadMs === undefined && known.length === 0) return '—';
  return element(
    'span',
    {},
    loadMs === undefined ? 'files were cached' : formatMs(loadMs),
    known.length > 0 && element('span', { class: 'faint' }, known.join(' + ')),
  );
}

function memoryCell({ memoryBytes, peakMemoryBytes }: ProfileItem): HTMLElement | string {
  if (memoryBytes === undefined && peakMemoryBytes === undefined) return '—';
  return element(
    'span',
    {},
    memoryBytes === undefined ? '—' : formatBytes(memoryBytes),
    peakMemoryBytes !== undefined &&
      element('span', { class: 'faint' }, `at most ${formatBytes(peakMemoryBytes)}`),
  );
}

function bytesCell({ modelBytes, runtimeBytes }: ProfileItem): string {
  if (modelBytes === undefined) return '—';
  return runtimeBytes === undefined || runtimeBytes === 0
    ? formatBytes(modelBytes)
    : `${formatBytes(modelBytes)} + ${formatBytes(runtimeBytes)}`;
}
