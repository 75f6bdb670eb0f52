import { once } from 'node:events';

/**
 * Resolves with the name of the first SIGINT or SIGTERM; in a program that another `nearfar` started, also with
 * `disconnect` when that one is gone, however it ended.
 */
export async function stopSignal(): Promise<string> {
  const names = ['SIGINT', 'SIGTERM', ...(process.connected ? ['disconnect'] : [])];
  const first = Promise.race(names.map((name) => once(process, name).then(() => name)));
  // Who listens to the channel keeps the process alive; one that ends by itself must not wait for its parent.
  process.channel?.unref();
  return await first;
}
