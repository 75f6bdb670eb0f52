import { LIMITS, MeshError } from '@nearfar/protocol';
import type { Context as HttpContext } from 'hono';
import type { HeldBytes } from '../byte-budget.ts';
import type { AppEnvironment, Context } from '../context.ts';

/** Bodies up to this size are read in one piece, which is faster; larger ones are charged as they arrive. */
const SMALL_BODY_BYTES = 64 * 1024;

/**
 * Reads a request's body up to `maxBytes` and lets `use` have it. Until `use` has ended, the mesh's budget for bodies
 * accounts for it, since its tensors are views of it.
 *
 * @throws MeshError `MESH_BODY_TOO_LARGE` when more is announced or arrives, `MESH_BODY_TOO_SLOW` when it takes too long,
 *   `MESH_QUEUE_FULL` when too many bytes are held already, `MESH_CANCELLED` when the caller goes away.
 */
export async function withBody<Value>(
  context: Context,
  http: HttpContext<AppEnvironment>,
  maxBytes: number,
  use: (body: Uint8Array<ArrayBuffer>) => Promise<Value>,
): Promise<Value> {
  const held = context.bodies.open(http.get('claims').subject);
  try {
    return await use(await readBody(http.req.raw, maxBytes, held));
  } finally {
    held.release();
  }
}

/** Reads a JSON body up to `maxBytes`. @throws MeshError as `withBody`, or `MESH_BAD_REQUEST` when it is no JSON. */
export async function readJson(
  context: Context,
  http: HttpContext<AppEnvironment>,
  maxBytes: number,
): Promise<unknown> {
  return await withBody(context, http, maxBytes, async (body) => {
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown;
    } catch (cause) {
      throw new MeshError('MESH_BAD_REQUEST', `Expected a JSON body: ${(cause as Error).message}`, { cause });
    }
  });
}

/**
 * The parts of a large body as they arrive; nothing of it is kept here.
 *
 * @throws MeshError `MESH_BODY_TOO_LARGE` when more is announced or arrives, `MESH_BODY_TOO_SLOW` when the next part takes
 *   too long, `MESH_CANCELLED` when the caller goes away.
 */
export async function* bodyParts(request: Request, maxBytes: number): AsyncGenerator<Uint8Array> {
  checkAnnounced(request, maxBytes);
  const reader = request.body?.getReader();
  let byteLength = 0;
  try {
    for (;;) {
      const { promise: tooLate, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(tooSlow()), LIMITS.bodyWithinMs);
      const part = await Promise.race([reader?.read(), tooLate])
        .catch(throwCutOff)
        .finally(() => clearTimeout(timer));
      if (part?.value === undefined) return;
      byteLength += part.value.byteLength;
      if (byteLength > maxBytes) throw tooLarge(maxBytes, 'more arrived');
      yield part.value;
    }
  } finally {
    reader?.releaseLock();
  }
}

async function readBody(
  request: Request,
  maxBytes: number,
  held: HeldBytes,
): Promise<Uint8Array<ArrayBuffer>> {
  const announced = checkAnnounced(request, maxBytes);
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(tooSlow()), LIMITS.bodyWithinMs);
  try {
    // The HTTP parser holds the peer to its announcement.
    if (announced !== undefined && announced <= SMALL_BODY_BYTES) {
      held.add(announced);
      return new Uint8Array(await Promise.race([request.arrayBuffer(), tooLate]));
    }
    return await readStream(request, maxBytes, held, tooLate);
  } catch (cause) {
    return throwCutOff(cause);
  } finally {
    clearTimeout(timer);
  }
}

/** Gathers the parts of a body; each is charged when it is here, not when it is promised. */
async function readStream(
  request: Request,
  maxBytes: number,
  held: HeldBytes,
  tooLate: Promise<never>,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let byteLength = 0;
  const reader = request.body?.getReader();
  try {
    for (;;) {
      const part = await Promise.race([reader?.read(), tooLate]);
      if (part?.value === undefined) break;
      byteLength += part.value.byteLength;
      if (byteLength > maxBytes) throw tooLarge(maxBytes, 'more arrived');
      held.add(part.value.byteLength);
      parts.push(part.value);
    }
  } finally {
    // Not cancelled: that would end the connection before the caller has read why. The answer's header ends it.
    reader?.releaseLock();
  }
  const body = new Uint8Array(byteLength);
  let offset = 0;
  for (const part of parts) {
    body.set(part, offset);
    offset += part.byteLength;
  }
  return body;
}

/** The announced length, if any. @throws MeshError `MESH_BODY_TOO_LARGE`. */
function checkAnnounced(request: Request, maxBytes: number): number | undefined {
  const header = request.headers.get('content-length');
  if (header === null) return undefined;
  const announced = Number(header);
  if (announced <= maxBytes) return announced;
  throw tooLarge(maxBytes, `${header} are announced`);
}

function throwCutOff(cause: unknown): never {
  if (cause instanceof MeshError) throw cause;
  throw new MeshError('MESH_CANCELLED', 'The body ended before all of it arrived', { cause });
}

function tooLarge(maxBytes: number, found: string): MeshError {
  return new MeshError('MESH_BODY_TOO_LARGE', `Expected a body of at most ${maxBytes} bytes, but ${found}`);
}

function tooSlow(): MeshError {
  return new MeshError('MESH_BODY_TOO_SLOW', `The body did not arrive within ${LIMITS.bodyWithinMs} ms`);
}
