import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openArtifactFolder } from '../../../coordinator/src/drivers/node/artifact-folder.ts';
import { mountSmallDisk } from '../../support/coordinator/small-disk.ts';

const DRIVER = fileURLToPath(
  new URL('../../../coordinator/src/drivers/node/artifact-folder.ts', import.meta.url),
);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearfar-artifacts-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Every file below the folder. */
async function filesIn(place: string): Promise<string[]> {
  const entries = await readdir(place, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

describe('a disk without room', () => {
  test('that is full: MESH_STORAGE_FULL, and nothing is left behind', async ({ skip }) => {
    const disk = join(folder, 'disk');
    const mounted = mountSmallDisk(disk, 256);
    if (mounted === undefined) skip('this system lets nobody mount a small disk');
    try {
      const store = openArtifactFolder(disk);
      const kept = await store.write(randomBytes(100_000));
      const tooMuch = randomBytes(400_000);
      const full = { code: 'MESH_STORAGE_FULL', status: 507 };
      await expect(store.write(tooMuch)).rejects.toMatchObject(full);
      async function* arriving() {
        for (let start = 0; start < tooMuch.byteLength; start += 50_000) {
          yield tooMuch.subarray(start, start + 50_000);
        }
      }
      await expect(store.write(arriving())).rejects.toMatchObject(full);
      expect(await filesIn(disk)).toEqual([kept.sha256]);
      expect(await store.write(randomBytes(50_000))).toMatchObject({ sizeBytes: 50_000 });
      await store.close();
    } finally {
      mounted?.unmount();
    }
  });

  test('that lets no file grow so large: the same', () => {
    const script = `
      const { openArtifactFolder } = await import(${JSON.stringify(DRIVER)});
      const store = openArtifactFolder(${JSON.stringify(folder)});
      const error = await store.write(new Uint8Array(3_000_000).fill(1)).catch((cause) => cause);
      console.log(error.code, error.cause.code);
    `;
    // Blocks of 512 or 1,024 bytes: at most 2 MB.
    const limited = `ulimit -f 2000 && exec "$0" --input-type=module -e "$1"`;
    const output = execFileSync('sh', ['-c', limited, process.execPath, script], { encoding: 'utf8' });
    expect(output.trim()).toBe('MESH_STORAGE_FULL EFBIG');
    return expect(filesIn(folder)).resolves.toEqual([]);
  });
});

describe('what a killed process left', () => {
  const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 12);
  const now = Date.now();
  const draft = async (name: string, ageMs = 0) => {
    await mkdir(join(folder, 'drafts'), { recursive: true });
    const path = join(folder, 'drafts', name);
    await writeFile(path, 'half a file');
    await utimes(path, (now - ageMs) / 1_000, (now - ageMs) / 1_000);
  };

  test('is removed at the next opening; what a living process writes stays', async () => {
    // No process has this number: it is above what any Linux gives.
    await draft(`${host}-9999999-dead`);
    await draft(`${host}-${process.pid}-alive`);
    await draft(`${'0'.repeat(12)}-9999999-of-another-host`);
    await draft(`${'0'.repeat(12)}-9999999-of-another-host-long-ago`, 2 * 3_600_000);
    await draft(`${host}-${process.pid}-long-ago`, 2 * 3_600_000);
    await openArtifactFolder(folder, now).close();
    expect((await filesIn(folder)).sort()).toEqual([
      `${'0'.repeat(12)}-9999999-of-another-host`,
      `${host}-${process.pid}-alive`,
    ]);
  });

  test('does not stand in the way of a new try', async () => {
    const script = `
      const { openArtifactFolder } = await import(${JSON.stringify(DRIVER)});
      const store = openArtifactFolder(${JSON.stringify(folder)});
      async function* arriving() {
        yield new Uint8Array(100_000).fill(7);
        process.kill(process.pid, 'SIGKILL');
        await new Promise(() => {});
      }
      await store.write(arriving());
    `;
    const killed = spawnSync(process.execPath, ['--input-type=module', '-e', script]);
    expect(killed.signal).toBe('SIGKILL');
    expect(await filesIn(folder)).toHaveLength(1);
    const store = openArtifactFolder(folder);
    const { sha256 } = await store.write(new Uint8Array(200_000).fill(7));
    expect(await filesIn(folder)).toEqual([sha256]);
    await store.close();
  });
});

describe('packed forms', () => {
  const text = new TextEncoder().encode('the same words again and again, '.repeat(1_000));

  test.each([
    ['br', brotliDecompressSync],
    ['gzip', gunzipSync],
  ] as const)('%s gives the same bytes, and is made once', async (encoding, unpack) => {
    const store = openArtifactFolder(folder);
    const { sha256 } = await store.write(text);
    const both = await Promise.all([store.packed?.(sha256, [encoding]), store.packed?.(sha256, [encoding])]);
    for (const packed of both) {
      expect(packed?.encoding).toBe(encoding);
      expect(packed?.sizeBytes).toBeLessThan(text.byteLength / 10);
      const bytes = await packed?.read(0, packed.sizeBytes);
      expect(new Uint8Array(unpack(bytes ?? new Uint8Array()))).toEqual(text);
    }
    expect(await filesIn(folder)).toHaveLength(2);
    await store.delete(sha256);
    expect(await filesIn(folder)).toEqual([]);
    await store.close();
  });

  test('there is none of what hardly shrinks, of what is small and of what is not there', async () => {
    const store = openArtifactFolder(folder);
    const noise = await store.write(randomBytes(50_000));
    const small = await store.write(text.subarray(0, 500));
    for (const sha256 of [noise.sha256, small.sha256, '0'.repeat(64), '../../etc/passwd']) {
      expect(await store.packed?.(sha256, ['br', 'gzip'])).toBeUndefined();
    }
    expect(await store.packed?.(noise.sha256, [])).toBeUndefined();
    await store.close();
  });

  test('of a large file is made while it is sent as it is', async () => {
    const store = openArtifactFolder(folder);
    const { sha256 } = await store.write(new Uint8Array(17 * 1024 * 1024));
    expect(await store.packed?.(sha256, ['br'])).toBeUndefined();
    await expect.poll(async () => (await store.packed?.(sha256, ['br']))?.encoding).toBe('br');
    await store.close();
  });

  test('of a small file does not wait for that of a large one', async () => {
    const store = openArtifactFolder(folder);
    const large = await store.write(randomBytes(64 * 1024 * 1024));
    const small = await store.write(text);
    expect(await store.packed?.(large.sha256, ['br'])).toBeUndefined();
    expect((await store.packed?.(small.sha256, ['br']))?.encoding).toBe('br');
    expect(await filesIn(folder)).not.toContain(`${large.sha256}.br`);
    await store.close();
  });

  test('making one ends with the store, and leaves nothing', async () => {
    const store = openArtifactFolder(folder);
    const { sha256 } = await store.write(new Uint8Array(17 * 1024 * 1024));
    await store.packed?.(sha256, ['br']);
    await store.close();
    await store.close();
    expect(await filesIn(folder)).toEqual([sha256]);
  });
});
