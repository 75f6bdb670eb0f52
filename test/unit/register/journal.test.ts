import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Journal, openJournal } from '@nearfar/register';
import { afterEach, beforeEach, expect, test } from 'vitest';

const DAY_MS = 24 * 3_600_000;

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearfar-journal-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** The journal as it is opened in so many days. */
const inDays = (days: number): Journal => openJournal(folder, Date.now() + days * DAY_MS);

test('a journal finds what it kept, also when it is opened again', async () => {
  await openJournal(folder).keep('a', { value: 1 });
  expect(await openJournal(folder).find('a')).toEqual({ value: 1 });
  expect(await openJournal(folder).find('b')).toBeUndefined();
});

test('a result that cannot be read was never kept', async () => {
  await writeFile(join(folder, 'a.json'), '{"value":');
  expect(await openJournal(folder).find('a')).toBeUndefined();
});

test('results that nobody asks for are forgotten after a month, those in use are not', async () => {
  await openJournal(folder).keep('used', 1);
  await openJournal(folder).keep('unused', 1);
  expect(await inDays(20).find('used')).toBe(1);
  expect(await inDays(40).find('used')).toBe(1);
  expect(await inDays(40).find('unused')).toBeUndefined();
});

test('what a killed process was writing goes after an hour', async () => {
  const draft = join(folder, 'a.json.3f0c');
  await writeFile(draft, '{');
  await openJournal(folder).find('a');
  expect(await readdir(folder)).toEqual(['a.json.3f0c']);
  const before = (Date.now() - 2 * 3_600_000) / 1_000;
  await utimes(draft, before, before);
  await openJournal(folder).find('a');
  expect(await readdir(folder)).toEqual([]);
});
