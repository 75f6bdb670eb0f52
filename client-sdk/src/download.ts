import { type Artifact, MeshError } from '@nearfar/protocol';
import { type Api, networkError } from './api.ts';

/** Attempts in a row that bring not one byte more until a download is given up. */
const MAX_FRUITLESS = 2;

/** What is here of a file. */
interface Arrived {
  readonly bytes: Uint8Array<ArrayBuffer>;
  loadedBytes: number;
}

/**
 * Downloads a file of exactly the announced size, which is its size before any compression on the way. A download that
 * breaks off goes on where it stopped: browsers ask for ranges uncompressed (Fetch standard: a `Range` header adds
 * `Accept-Encoding: identity`), so what came decompressed is the beginning of what is left to fetch.
 *
 * @param update gets the bytes that are here so far, never fewer than before.
 * @throws MeshError `MESH_ARTIFACT_CORRUPT` when the size is another, `MESH_NETWORK`, or the signal's reason.
 */
export async function download(
  api: Pick<Api, 'artifact'>,
  { path, sha256, sizeBytes }: Artifact,
  signal: AbortSignal,
  update: (loadedBytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const arrived: Arrived = { bytes: new Uint8Array(sizeBytes), loadedBytes: 0 };
  let mostBytes = 0;
  let fruitless = 0;
  for (;;) {
    const response = await api.artifact(sha256, signal, arrived.loadedBytes);
    // Whoever does not know ranges sends all of it again.
    if (response.status !== 206) arrived.loadedBytes = 0;
    try {
      await readBody(response, path, arrived, signal, () => {
        if (arrived.loadedBytes > mostBytes) update(arrived.loadedBytes);
      });
      break;
    } catch (error) {
      const isBroken = !signal.aborted && error instanceof MeshError && error.code === 'MESH_NETWORK';
      if (!isBroken) throw error;
      if (arrived.loadedBytes === sizeBytes) break;
      fruitless = arrived.loadedBytes > mostBytes ? 0 : fruitless + 1;
      if (fruitless === MAX_FRUITLESS) throw error;
      mostBytes = Math.max(mostBytes, arrived.loadedBytes);
    }
  }
  if (arrived.loadedBytes < sizeBytes) throw wrongSize(path, sizeBytes, String(arrived.loadedBytes));
  return arrived.bytes;
}

/** Adds what the body brings to what is here. */
async function readBody(
  { body }: Response,
  path: string,
  arrived: Arrived,
  signal: AbortSignal,
  onPart: () => void,
): Promise<void> {
  const { bytes } = arrived;
  const reader = body?.getReader();
  for (;;) {
    let part: ReadableStreamReadResult<Uint8Array> | undefined;
    try {
      part = await reader?.read();
    } catch (cause) {
      throw networkError(cause, signal);
    }
    if (part?.value === undefined) return;
    if (arrived.loadedBytes + part.value.byteLength > bytes.byteLength) {
      await reader?.cancel();
      throw wrongSize(path, bytes.byteLength, 'more');
    }
    bytes.set(part.value, arrived.loadedBytes);
    arrived.loadedBytes += part.value.byteLength;
    onPart();
  }
}

function wrongSize(path: string, expected: number, found: string): MeshError {
  return new MeshError(
    'MESH_ARTIFACT_CORRUPT',
    `Expected artifact "${path}" to have ${expected} bytes, got ${found}`,
  );
}
