import { offlineRecord } from '@nearfar/coordinator';
import { openStores } from '@nearfar/coordinator/node';
import type { TaskRecord } from '@nearfar/core';
import type { RegistrationOptions } from '@nearfar/protocol';
import type { RegistrationNews } from './messages.ts';
import { runRegistration } from './run-registration.ts';

/** A registration where no mesh runs. */
export interface StateRegistration {
  readonly manifest: unknown;
  /** Where its files are: each is looked for in the first folder, then in the next. */
  readonly folders: readonly string[];
  readonly options: RegistrationOptions;
  readonly stateDirectory: string;
  readonly emit: (event: RegistrationNews) => void;
}

/**
 * Registers a task in a state folder. There is no traffic that could move, so that a new revision is the active one at
 * once, whatever rollout was asked for.
 *
 * @throws MeshError as `registerTask`; `MESH_INTERNAL` when its process ends without an answer.
 */
export async function registerInState(registration: StateRegistration): Promise<TaskRecord> {
  const { manifest, folders, options, stateDirectory, emit } = registration;
  const { registry, profiles } = openStores(stateDirectory);
  const name = (manifest as { task?: unknown } | null)?.task;
  const find = async () => (await registry.list()).find(({ active }) => active.task === name);
  try {
    const known = await find();
    const files = { kind: 'folders', folders } as const;
    const order = { manifest, options, files, known, stateDirectory };
    const task = await runRegistration(order, emit, new AbortController().signal);
    // It took minutes: what another registration of the task kept meanwhile is not to be overwritten by what was known.
    const present = await find();
    const isUnchanged = task.revision === known?.active.revision;
    if (isUnchanged && present !== undefined) return present;
    const record = offlineRecord(task, present);
    await registry.put(record);
    return record;
  } finally {
    await Promise.all([registry.close(), profiles.close()]);
  }
}
