import type { Profile } from '../profile-table.ts';
import type { SimulatedWorker, World } from '../simulator/policy.ts';

/**
 * Loads at the start what workers are to serve for good: of each task one variant, or as many as there is room for, first
 * come first served; tasks that find no room on one worker begin with the next, so that a fleet holds all of them.
 */
export function loadStanding(
  world: World,
  choose: (task: string, worker: SimulatedWorker) => readonly Profile[],
): void {
  const { tasks, fleet } = world.scenario;
  for (const [number, worker] of world.workers.entries()) {
    const spec = fleet.find(
      ({ deviceClass, tier }) => deviceClass === worker.deviceClass && tier === worker.tier,
    );
    let room = spec?.memoryBytes ?? Number.POSITIVE_INFINITY;
    for (let step = 0; step < tasks.length; step += 1) {
      const task = tasks[(number + step) % tasks.length];
      if (task === undefined) continue;
      for (const profile of choose(task.task, worker)) {
        if (profile.memoryBytes > room) continue;
        room -= profile.memoryBytes;
        world.load(worker, profile.task, profile.variant);
      }
    }
  }
}

/** The fastest variant of a task on a device class that is accurate enough; undefined where none is. */
export function fastestVariant(
  world: World,
  task: string,
  deviceClass: string,
  minAccuracy: number,
): Profile | undefined {
  let best: Profile | undefined;
  for (const profile of world.profiles.ofClass(task, deviceClass)) {
    if (profile.accuracy < minAccuracy) continue;
    if (best === undefined || profile.service(1).meanMs < best.service(1).meanMs) best = profile;
  }
  return best;
}
