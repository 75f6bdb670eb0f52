import { offlineRecord } from '@nearfar/coordinator';
import { openRegistry } from '@nearfar/coordinator/node';
import type { TaskRecord } from '@nearfar/core';
import type { RegistrationEvent, RegistrationOptions } from '@nearfar/protocol';
import { createEngineRunner, registerTask, type SourceFiles } from '@nearfar/register';
import { openStateParts } from './state-parts.ts';

/** A registration where no mesh runs. */
export interface StateRegistration {
  readonly json: unknown;
  readonly files: SourceFiles;
  readonly options: RegistrationOptions;
  readonly stateDirectory: string;
  readonly emit: (event: Extract<RegistrationEvent, { type: 'progress' | 'variant' | 'note' }>) => void;
}

/**
 * Registers a task in a state folder. There is no traffic that could move, so that a new revision is the active one at
 * once, whatever rollout was asked for.
 */
export async function registerInState(registration: StateRegistration): Promise<TaskRecord> {
  const { json, files, options, stateDirectory, emit } = registration;
  const { artifacts, journal } = openStateParts(stateDirectory);
  const registry = openRegistry(stateDirectory);
  try {
    const records = await registry.list();
    const name = (json as { task?: unknown } | null)?.task;
    const known = records.find(({ active }) => active.task === name);
    const task = await registerTask(json, options, {
      files,
      artifacts,
      journal,
      runner: createEngineRunner(),
      known,
      wallTime: Date.now,
      emit,
      signal: new AbortController().signal,
    });
    const record = offlineRecord(task, known);
    await registry.put(record);
    return record;
  } finally {
    await registry.close();
  }
}
