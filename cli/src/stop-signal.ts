import { once } from 'node:events';

/** Resolves with the name of the first SIGINT or SIGTERM. */
export async function stopSignal(): Promise<string> {
  return await Promise.race([
    once(process, 'SIGINT').then(() => 'SIGINT'),
    once(process, 'SIGTERM').then(() => 'SIGTERM'),
  ]);
}
