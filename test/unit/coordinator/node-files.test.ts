import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AccountRecord } from '@nearfar/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openAccountFile } from '../../../coordinator/src/drivers/node/account-file.ts';
import { openAssetFolder } from '../../../coordinator/src/drivers/node/asset-folder.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearfar-files-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('asset folder', () => {
  test('gives its files', async () => {
    await writeFile(join(folder, 'page.html'), '<p>');
    const { contentType } = (await openAssetFolder(folder).read('page.html')) ?? {};
    expect(contentType).toBe('text/html; charset=utf-8');
  });

  test.each([
    ['a name that is too long', `${'x'.repeat(300)}.js`],
    ['a path that is too long', `${'x/'.repeat(4_000)}x.js`],
    ['a file as a folder', 'page.html/x.js'],
    ['a folder', 'folder.js'],
    ['a link to itself', 'loop.js'],
    ['a null byte', 'page%00.html'],
    ['a bad escape', '%E0%A4.html'],
    ['a path out of the folder', '../../etc/hosts.txt'],
  ])('%s is no file', async (_name, path) => {
    await writeFile(join(folder, 'page.html'), '<p>');
    await mkdir(join(folder, 'folder.js'));
    await symlink('loop.js', join(folder, 'loop.js'));
    expect(await openAssetFolder(folder).read(path)).toBeUndefined();
  });
});

describe('account file', () => {
  const record = (requestId: string) => ({ requestId }) as AccountRecord;

  function openLog(path: string) {
    const lines: { level: string; message: string; fields: { readonly dropped?: unknown } }[] = [];
    const accounts = openAccountFile(path, (level, message, fields = {}) => {
      lines.push({ level, message, fields });
    });
    return { accounts, lines };
  }

  async function idsIn(path: string): Promise<string[]> {
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    return lines.map((line) => (JSON.parse(line) as AccountRecord).requestId);
  }

  test('keeps what could not be written and writes it with the next record, in order', async () => {
    const path = join(folder, 'later', 'accounts.jsonl');
    const { accounts, lines } = openLog(path);
    for (const id of ['a', 'b']) {
      accounts.append(record(id));
      await accounts.flush();
    }
    expect(lines.map(({ message }) => message)).toEqual(['account records were not written']);
    await mkdir(join(folder, 'later'));
    accounts.append(record('c'));
    await accounts.flush();
    expect(await idsIn(path)).toEqual(['a', 'b', 'c']);
    expect(lines.at(-1)).toMatchObject({
      message: 'account records are written again',
      fields: { dropped: 0 },
    });
    await accounts.close();
    expect(await idsIn(path)).toEqual(['a', 'b', 'c']);
  });

  test('tries again with flush, and once more with close', async () => {
    const path = join(folder, 'later', 'accounts.jsonl');
    const { accounts } = openLog(path);
    accounts.append(record('a'));
    await accounts.flush();
    await mkdir(join(folder, 'later'));
    await accounts.flush();
    expect(await idsIn(path)).toEqual(['a']);
    await rm(join(folder, 'later'), { recursive: true });
    accounts.append(record('b'));
    await accounts.flush();
    await mkdir(join(folder, 'later'));
    await accounts.close();
    expect(await idsIn(path)).toEqual(['b']);
  });

  test('says at close how many records are lost', async () => {
    const { accounts, lines } = openLog(join(folder, 'never', 'accounts.jsonl'));
    accounts.append(record('a'));
    await accounts.close();
    expect(lines.at(-1)).toMatchObject({ message: 'account records are lost', fields: { records: 1 } });
  });

  test('keeps the newest 100,000 records while it cannot write, and says how many it dropped', async () => {
    const path = join(folder, 'later', 'accounts.jsonl');
    const { accounts, lines } = openLog(path);
    for (let id = 0; id < 60_000; id += 1) accounts.append(record(`${id}`));
    await accounts.flush();
    for (let id = 60_000; id < 100_020; id += 1) accounts.append(record(`${id}`));
    await accounts.flush();
    await mkdir(join(folder, 'later'));
    await accounts.flush();
    const ids = await idsIn(path);
    expect(ids).toHaveLength(100_000);
    expect([ids[0], ids.at(-1)]).toEqual(['20', '100019']);
    expect(ids).toEqual(Array.from({ length: 100_000 }, (_, index) => `${index + 20}`));
    expect(lines.map(({ message, fields }) => [message, fields.dropped])).toEqual([
      ['account records were not written', undefined],
      ['the oldest account records are being dropped', undefined],
      ['account records are written again', 20],
    ]);
  });
});
