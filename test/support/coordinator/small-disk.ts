import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/**
 * Mounts a disk of `sizeKiB` at a new folder; `unmount` takes it away. Undefined where the system lets nobody do that: a
 * test that needs it is to be skipped there.
 */
export function mountSmallDisk(path: string, sizeKiB: number): { unmount(): void } | undefined {
  mkdirSync(path);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeKiB}k`, 'tmpfs', path]);
  if (mounted.status !== 0) return undefined;
  return { unmount: () => void spawnSync('umount', [path]) };
}
