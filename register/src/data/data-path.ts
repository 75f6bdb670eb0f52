import { posix } from 'node:path';
import { type EvalRule, MeshError } from '@nearfar/protocol';

/**
 * Where a file of an eval rule lies, relative to the manifest.
 *
 * @throws MeshError `MESH_BAD_EVAL_DATA` when the rule does not name it.
 */
export function dataPath(rule: EvalRule, field: 'images' | 'labels' | 'file'): string {
  const path = rule[field];
  if (path === undefined) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected "eval.${field}" to name a file, as format "${rule.format}" needs, got none`,
    );
  }
  return posix.normalize(rule.directory === undefined ? path : `${rule.directory}/${path}`);
}
