import type { Clock, RegisteredTask } from '@nearfar/core';
import { type ImagePreprocess, MeshError, type Prices, type Tensor } from '@nearfar/protocol';
import { type Coordinator, createCoordinator } from '../coordinator.ts';
import {
  createMemoryAccounts,
  createMemoryArtifacts,
  createMemoryProfiles,
  createMemoryRegistry,
} from '../drivers/memory.ts';
import { sleepBy } from '../drivers/sleep.ts';
import type { Log } from '../options.ts';

/** How a coordinator in workerd is set up. */
export interface WorkerdCoordinatorOptions {
  readonly tasks: readonly RegisteredTask[];
  readonly prices: Prices;
  readonly secret: Uint8Array;
  readonly isAuthRequired?: boolean;
}

/**
 * A coordinator for workerd with memory drivers: it decides, leases and explains. Workers cannot dial in yet, since a
 * link that outlives a request needs a Durable Object; it decodes no pictures either.
 */
export async function createWorkerdCoordinator(options: WorkerdCoordinatorOptions): Promise<Coordinator> {
  const { tasks, ...rest } = options;
  return createCoordinator({
    ...rest,
    clock: workerdClock,
    registry: createMemoryRegistry(tasks.map((active) => ({ active }))),
    profiles: createMemoryProfiles(),
    artifacts: createMemoryArtifacts(),
    accounts: createMemoryAccounts(),
    pictures: { toTensor: refusePicture, close: async () => {} },
    log: consoleLog,
  });
}

/** Time in workerd moves only with I/O, against side channels; between two events it stands still. */
const workerdClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  sleep: sleepBy((wake, delayMs) => {
    const timer = setTimeout(wake, delayMs);
    return () => clearTimeout(timer);
  }),
};

async function refusePicture(
  _body: Uint8Array,
  contentType: string,
  _rule: ImagePreprocess,
): Promise<Tensor> {
  throw new MeshError(
    'MESH_UNSUPPORTED_MEDIA_TYPE',
    `This deployment decodes no pictures ("${contentType}"); send tensors`,
  );
}

const consoleLog: Log = (level, message, fields = {}) => {
  console[level](JSON.stringify({ level, message, ...fields }));
};
