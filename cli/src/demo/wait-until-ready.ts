import { setTimeout as sleep } from 'node:timers/promises';

interface WorkersBody {
  readonly workers: readonly { readonly replicas: readonly { readonly state: string }[] }[];
}

const POLL_EVERY_MS = 200;
const GIVE_UP_AFTER_MS = 120_000;

/** Resolves when `count` workers are there and none of their variants is still loading. */
export async function waitUntilReady(url: string, token: string, count: number): Promise<void> {
  const giveUpAt = performance.now() + GIVE_UP_AFTER_MS;
  for (;;) {
    const response = await fetch(`${url}/v1/workers`, { headers: { Authorization: `Bearer ${token}` } });
    const { workers } = (await response.json()) as WorkersBody;
    const ready = workers.filter(
      ({ replicas }) => replicas.length > 0 && replicas.every((replica) => replica.state === 'ready'),
    );
    if (ready.length >= count) return;
    if (performance.now() > giveUpAt) {
      throw new Error(
        `Expected ${count} workers to be ready within ${GIVE_UP_AFTER_MS / 1000} s, found ${ready.length}`,
      );
    }
    await sleep(POLL_EVERY_MS);
  }
}
