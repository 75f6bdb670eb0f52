import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Coordinator } from '@nearfar/coordinator';
import { MeshError } from '@nearfar/protocol';
import { folderFiles, registerTask } from '@nearfar/register';
import { openStateParts } from './state-parts.ts';

/**
 * Registers a manifest's task as it is: nothing is made or measured, so that a mesh with it serves at once. A task that was
 * registered from the same files before, with variants of its own making, stays as it was.
 *
 * @throws MeshError `MESH_BAD_MANIFEST` or `MESH_BAD_MODEL`.
 */
export async function importManifest(
  path: string,
  coordinator: Coordinator,
  stateDirectory: string,
): Promise<void> {
  const json = await readJson(path);
  const { artifacts, journal } = openStateParts(stateDirectory);
  const name = (json as { task?: unknown } | null)?.task;
  const known = coordinator.records().find(({ active }) => active.task === name);
  const options = { maxAccuracyDrop: 0, generate: false, rollout: { mode: 'now', share: 1 } } as const;
  const task = await registerTask(json, options, {
    files: folderFiles([dirname(path)]),
    artifacts,
    journal,
    runner: undefined,
    known,
    wallTime: Date.now,
    emit: () => undefined,
    signal: new AbortController().signal,
  });
  await coordinator.register(task, options.rollout);
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new MeshError('MESH_BAD_MANIFEST', `Cannot read "${path}": ${(cause as Error).message}`, { cause });
  }
}
