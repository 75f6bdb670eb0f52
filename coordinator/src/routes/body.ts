import { MeshError } from '@nearfar/protocol';
import type { ByteBudget } from '../byte-budget.ts';

/**
 * Reads a request's body up to `maxBytes`: one that announces more is refused before it is read, one that turns out
 * to be longer while it is read.
 *
 * @throws MeshError `MESH_BODY_TOO_LARGE`, or `MESH_CANCELLED` when the caller goes away.
 */
export async function readBody(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const announced = request.headers.get('content-length');
  if (announced !== null && !(Number(announced) <= maxBytes))
    throw tooLarge(maxBytes, `${announced} are announced`);
  try {
    // The HTTP parser holds the peer to its announcement.
    if (announced !== null) return new Uint8Array(await request.arrayBuffer());
    return await readStream(request, maxBytes);
  } catch (cause) {
    if (cause instanceof MeshError) throw cause;
    throw new MeshError('MESH_CANCELLED', 'The body ended before all of it arrived', { cause });
  }
}

/**
 * Reads a request's body as `readBody` does, and lets `use` have it while the mesh's budget for bodies accounts for
 * it: as long as anything may hold on to its tensors.
 *
 * @throws MeshError `MESH_QUEUE_FULL` when too many bytes are held already.
 */
export async function withBody<Value>(
  bodies: ByteBudget,
  request: Request,
  maxBytes: number,
  use: (body: Uint8Array<ArrayBuffer>) => Promise<Value>,
): Promise<Value> {
  const announced = request.headers.get('content-length');
  // A body of unknown length may become the largest one; one that announces too much is refused by `readBody`.
  const bytes = announced === null ? maxBytes : Math.min(maxBytes, Number(announced) || 0);
  return await bodies.hold(bytes, async () => await use(await readBody(request, maxBytes)));
}

/** Reads a JSON body up to `maxBytes`. @throws MeshError `MESH_BAD_REQUEST` when it is no JSON. */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  const body = await readBody(request, maxBytes);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw new MeshError('MESH_BAD_REQUEST', `Expected a JSON body: ${(cause as Error).message}`, { cause });
  }
}

async function readStream(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  if (request.body !== null) {
    for await (const chunk of request.body as AsyncIterable<Uint8Array>) {
      byteLength += chunk.byteLength;
      if (byteLength > maxBytes) throw tooLarge(maxBytes, 'more arrived');
      chunks.push(chunk);
    }
  }
  const body = new Uint8Array(byteLength);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return body;
}

function tooLarge(maxBytes: number, found: string): MeshError {
  return new MeshError('MESH_BODY_TOO_LARGE', `Expected a body of at most ${maxBytes} bytes, but ${found}`);
}
