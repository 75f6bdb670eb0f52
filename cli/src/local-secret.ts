import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Whether a mesh ran with this state folder: its first start leaves a secret there. */
export function hasSecret(stateDirectory: string): boolean {
  return existsSync(secretFile(stateDirectory));
}

/**
 * The secret that signs the tokens of the mesh with this state folder. Never makes one: only `nearfar up` does, since
 * a secret that no mesh knows signs tokens that no mesh takes.
 *
 * @throws Error when there is none, and RangeError when it is damaged.
 */
export async function readSecret(stateDirectory: string): Promise<Uint8Array> {
  const path = secretFile(stateDirectory);
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    const message = `No secret in "${stateDirectory}": run this where "nearfar up" ran, or give --state or --token`;
    throw new Error(message, { cause });
  }
  if (!/^([0-9a-f]{2}){32,}$/.test(text))
    throw new RangeError(`Expected "${path}" to hold at least 64 hexadecimal digits`);
  return new Uint8Array(Buffer.from(text, 'hex'));
}

function secretFile(stateDirectory: string): string {
  return join(stateDirectory, 'secret');
}
