import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Prices, parseOrThrow, pricesSchema } from '@nearfar/protocol';

const SECRET_BYTES = 32;
const DEFAULT_PRICES = new URL('../../prices.json', import.meta.url);

/** The secret that signs tokens; made on the first start, readable by its owner alone. */
export async function loadSecret(stateDirectory: string): Promise<Uint8Array> {
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  const path = join(stateDirectory, 'secret');
  try {
    await writeFile(path, `${randomBytes(SECRET_BYTES).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const text = (await readFile(path, 'utf8')).trim();
  if (!/^[0-9a-f]{64,}$/.test(text))
    throw new RangeError(`Expected "${path}" to hold at least 64 hexadecimal digits`);
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** A price book: the dated one of this package, or the operator's own. */
export async function readPrices(file: string | URL = DEFAULT_PRICES): Promise<Prices> {
  return parseOrThrow(
    pricesSchema,
    JSON.parse(await readFile(file, 'utf8')),
    'MESH_BAD_REQUEST',
    'price book',
  );
}
