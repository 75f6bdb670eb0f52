import type { ProfileView } from '@nearfar/core';

/** A mesh as the demo reads it. */
export interface MeshReader {
  readonly url: string;
  readonly token: string;
  /** The JSON of a route. */
  getJson(path: string): Promise<unknown>;
}

/** Reads the routes of the mesh at `url` as the holder of `token`. */
export function createMeshReader(url: string, token: string): MeshReader {
  return {
    url,
    token,
    async getJson(path) {
      const response = await fetch(`${url}${path}`, { headers: { Authorization: `Bearer ${token}` } });
      if (!response.ok) throw new Error(`Expected ${path} to be answered, got HTTP ${response.status}`);
      return await response.json();
    },
  };
}

interface WorkersBody {
  readonly workers: readonly {
    readonly tier: string;
    readonly device: { readonly deviceClass: string };
    readonly replicas: readonly { readonly state: string }[];
  }[];
}

/** Mean milliseconds of one input by `<task>/<variant>`, as measured on the device class of a tier's first worker. */
export async function readMeasuredTimes(
  mesh: MeshReader,
  tier: 'edge' | 'pool',
): Promise<ReadonlyMap<string, number>> {
  const { workers } = (await mesh.getJson('/v1/workers')) as WorkersBody;
  const deviceClass = workers.find((worker) => worker.tier === tier)?.device.deviceClass;
  const { profiles } = (await mesh.getJson('/v1/profiles')) as { profiles: readonly ProfileView[] };
  const own = profiles.filter((line) => line.deviceClass === deviceClass && line.batch === 1);
  return new Map(own.map((line) => [`${line.task}/${line.variant}`, line.meanMs]));
}

const POLL_EVERY_MS = 200;
const GIVE_UP_AFTER_MS = 120_000;

/** Resolves when `count` workers are there and each of their variants is ready. */
export async function waitUntilReady(mesh: MeshReader, count: number): Promise<void> {
  const giveUpAt = performance.now() + GIVE_UP_AFTER_MS;
  for (;;) {
    const { workers } = (await mesh.getJson('/v1/workers')) as WorkersBody;
    const ready = workers.filter(
      ({ replicas }) => replicas.length > 0 && replicas.every((replica) => replica.state === 'ready'),
    );
    if (ready.length >= count) return;
    if (performance.now() > giveUpAt) {
      throw new Error(
        `Expected ${count} workers to be ready within ${GIVE_UP_AFTER_MS / 1000} s, found ${ready.length}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_EVERY_MS));
  }
}
