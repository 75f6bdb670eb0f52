import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMemoryArtifacts, createMemoryProfiles, createMemoryRegistry } from '@nearfar/coordinator';
import { afterAll } from 'vitest';
import { openArtifactFolder } from '../../../coordinator/src/drivers/node/artifact-folder.ts';
import { openSqliteStores } from '../../../coordinator/src/drivers/node/sqlite-stores.ts';
import { artifactStoreContract, profileStoreContract, registryStoreContract } from '../../contract/stores.ts';

const directories: string[] = [];

async function freshDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'nearfar-stores-'));
  directories.push(directory);
  return directory;
}

afterAll(async () => {
  await Promise.all(directories.map((directory) => rm(directory, { recursive: true, force: true })));
});

async function freshSqlite() {
  return openSqliteStores(join(await freshDirectory(), 'mesh.db'), 0);
}

registryStoreContract('memory', async () => createMemoryRegistry());
registryStoreContract('SQLite', async () => (await freshSqlite()).registry);
profileStoreContract('memory', async () => createMemoryProfiles());
profileStoreContract('SQLite', async () => (await freshSqlite()).profiles);
artifactStoreContract('memory', async () => createMemoryArtifacts());
artifactStoreContract('folder', async () => openArtifactFolder(await freshDirectory()));
