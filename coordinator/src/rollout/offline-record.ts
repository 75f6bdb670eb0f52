import type { RegisteredTask, TaskRecord } from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';
import { revisionsOf } from '../catalog.ts';
import { highestOf, remembering, renumbered } from './numbers.ts';

/**
 * What a registry holds of a task that is registered where no mesh runs: there is no traffic to move, so that the new
 * revision is the active one at once and the former one is what a rollback brings back.
 */
export function offlineRecord(task: RegisteredTask, known: TaskRecord | undefined): TaskRecord {
  if (known === undefined) return { active: task };
  if (task === known.active) return known;
  const highest = highestOf(known);
  return remembering(
    { active: renumbered(task, revisionsOf(known), highest), previous: known.active },
    highest,
  );
}

/**
 * A record whose previous revision is the active one again.
 *
 * @throws MeshError `MESH_NO_PREVIOUS_REVISION`.
 */
export function rolledBackOffline(record: TaskRecord): TaskRecord {
  const { active, previous } = record;
  if (previous === undefined) {
    const message = `Task "${active.task}" has no revision before ${active.revision}`;
    throw new MeshError('MESH_NO_PREVIOUS_REVISION', message);
  }
  return remembering({ active: previous, previous: active }, highestOf(record));
}
