import type { Profile } from '../../profile-table.ts';
import type { SimulatedWorker, World } from '../../simulator/policy.ts';

/**
 * Loads on every worker what fits: of each task the accurate enough variant with the cheapest input first, then the next
 * cheapest of each, until the memory is full. The first worker begins with the first task, the next with the second and so
 * on, so that all tasks are held somewhere.
 */
export function placeByPrice(world: World): void {
  for (const [index, worker] of world.workers.entries()) {
    for (const { task, variant } of choices(world, worker, index)) world.load(worker, task, variant);
  }
}

function choices({ scenario, profiles }: World, worker: SimulatedWorker, index: number): Profile[] {
  const { tasks, fleet } = scenario;
  const ranked = tasks.map((_, step) => {
    const task = tasks[(index + step) % tasks.length];
    if (task === undefined) return [];
    return profiles
      .ofClass(task.task, worker.deviceClass)
      .filter(({ accuracy }) => accuracy >= task.minAccuracy)
      .toSorted((a, b) => msPerInput(a) - msPerInput(b));
  });
  let freeBytes = fleet.find(({ deviceClass }) => deviceClass === worker.deviceClass)?.memoryBytes ?? 0;
  const chosen: Profile[] = [];
  const rounds = Math.max(0, ...ranked.map(({ length }) => length));
  for (let round = 0; round < rounds; round += 1) {
    for (const own of ranked) {
      const profile = own[round];
      if (profile === undefined || profile.memoryBytes > freeBytes) continue;
      freeBytes -= profile.memoryBytes;
      chosen.push(profile);
    }
  }
  return chosen;
}

function msPerInput(profile: Profile): number {
  return profile.service(profile.maxBatch).meanMs / profile.maxBatch;
}
