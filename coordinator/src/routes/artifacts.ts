import type { ContentEncoding } from '@nearfar/core';
import { LIMITS, MeshError, parseOrThrow, sha256Schema } from '@nearfar/protocol';
import { Hono, type Context as HttpContext } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { bodyParts } from './body.ts';
import { gate } from './gate.ts';

/** Files are read and sent in parts of this size, so that a large one is never in memory as a whole. */
const PART_BYTES = 1024 * 1024;

/**
 * `/v1/artifacts/{sha256}`: immutable files by content. `GET` gives one whole, packed where that makes it smaller and the
 * caller can unpack it, or one range of it; `HEAD` says whether it is there; `PUT` sends one.
 */
export function artifactRoutes(context: Context): Hono<AppEnvironment> {
  return new Hono<AppEnvironment>()
    .get('/v1/artifacts/:sha256', gate(context, 'client'), (http) => send(context, http))
    .put('/v1/artifacts/:sha256', gate(context, 'admin'), (http) => receive(context, http));
}

async function send(context: Context, http: HttpContext<AppEnvironment>): Promise<Response> {
  const { artifacts } = context.options;
  const sha256 = addressOf(http, 'MESH_UNKNOWN_ARTIFACT');
  const sizeBytes = await artifacts.sizeOf(sha256);
  if (sizeBytes === undefined) throw new MeshError('MESH_UNKNOWN_ARTIFACT', `Unknown artifact ${sha256}`);
  const plainTag = `"${sha256}"`;
  http.header('Accept-Ranges', 'bytes');
  http.header('Vary', 'Accept-Encoding', { append: true });
  // Callers show a token, so only their own cache may keep it.
  http.header('Cache-Control', 'private, max-age=31536000, immutable');
  http.header('Content-Type', 'application/octet-stream');

  // HEAD is asked by who wants to know whether a file is there; it tells of it as it is, whole and not packed.
  const isHead = http.req.method === 'HEAD';
  const encodings = isHead ? [] : acceptedEncodings(http.req.header('accept-encoding'));
  // A file never changes, so whoever has it in a form that he can still use has it.
  const known = matching(http.req.header('if-none-match'), [
    plainTag,
    ...encodings.map((encoding) => etagOf(sha256, encoding)),
  ]);
  if (known !== undefined) {
    http.header('ETag', known);
    return http.body(null, 304);
  }
  const ifRange = http.req.header('if-range');
  const isRangeWanted = !isHead && (ifRange === undefined || ifRange === plainTag);
  const range = isRangeWanted ? parseRange(http.req.header('range'), sizeBytes) : undefined;
  const packed =
    range === undefined && encodings.length > 0 ? await artifacts.packed?.(sha256, encodings) : undefined;
  http.header('ETag', packed === undefined ? plainTag : etagOf(sha256, packed.encoding));
  if (packed !== undefined) http.header('Content-Encoding', packed.encoding);
  if (range !== undefined) http.header('Content-Range', `bytes ${range.start}-${range.end - 1}/${sizeBytes}`);
  const { start, end } = range ?? { start: 0, end: packed?.sizeBytes ?? sizeBytes };
  http.header('Content-Length', String(end - start));
  const status = range === undefined ? 200 : 206;
  if (isHead) return http.body(null, status);
  const read = (from: number, to: number) =>
    packed === undefined ? artifacts.read(sha256, from, to) : packed.read(from, to);
  return http.body(inParts(read, start, end), status);
}

async function receive(context: Context, http: HttpContext<AppEnvironment>): Promise<Response> {
  const { artifacts } = context.options;
  const sha256 = addressOf(http, 'MESH_BAD_REQUEST');
  const known = await artifacts.sizeOf(sha256);
  if (known !== undefined) {
    // What is sent all the same is taken and thrown away: an answer while it comes in would end the connection under it.
    for await (const _ of bodyParts(http.req.raw, LIMITS.maxArtifactBytes));
    return http.json({ sha256, sizeBytes: known });
  }
  const written = await artifacts.write(bodyParts(http.req.raw, LIMITS.maxArtifactBytes), sha256);
  return http.json(written, 201);
}

function addressOf(
  http: HttpContext<AppEnvironment>,
  code: 'MESH_UNKNOWN_ARTIFACT' | 'MESH_BAD_REQUEST',
): string {
  return parseOrThrow(sha256Schema, http.req.param('sha256'), code, 'artifact address');
}

/**
 * One byte range (RFC 9110, section 14). A header that is not understood, or that asks for several ranges, is
 * ignored, as the RFC allows.
 *
 * @throws MeshError `MESH_RANGE_NOT_SATISFIABLE` when it starts past the end.
 */
export function parseRange(
  header: string | undefined,
  sizeBytes: number,
): { readonly start: number; readonly end: number } | undefined {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined;
  const start = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? sizeBytes : Math.min(sizeBytes, Number(last) + 1);
  if (start < end) return { start, end };
  if (start < sizeBytes) return undefined;
  throw new MeshError(
    'MESH_RANGE_NOT_SATISFIABLE',
    `Expected a range within ${sizeBytes} bytes, got "${header}"`,
  );
}

/**
 * Those of our encodings that an `Accept-Encoding` takes (RFC 9110, section 12.5.3), Brotli first. `*` and ranks are not
 * weighed: who says only that takes the file as it is.
 */
export function acceptedEncodings(header: string | undefined): ContentEncoding[] {
  const accepted = new Set(
    (header ?? '')
      .toLowerCase()
      .split(',')
      .map((entry) => entry.split(';').map((part) => part.trim()))
      .filter(([, ...parameters]) => !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter)))
      .map(([name]) => name),
  );
  return (['br', 'gzip'] as const).filter((encoding) => accepted.has(encoding));
}

/** The packed form is other bytes, so it has a tag of its own (RFC 9110, section 8.8.3). */
function etagOf(sha256: string, encoding: ContentEncoding): string {
  return `"${sha256}-${encoding}"`;
}

/** The first of `etags` that an `If-None-Match` names (RFC 9110, section 13.1.2), if any. */
function matching(header: string | undefined, etags: readonly string[]): string | undefined {
  const named = header?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return named.includes('*') ? etags[0] : etags.find((etag) => named.includes(etag));
}

/** The bytes from `start` up to, not including, `end`, read as they are taken. */
function inParts(
  read: (start: number, end: number) => Promise<Uint8Array>,
  start: number,
  end: number,
): ReadableStream<Uint8Array> {
  let position = start;
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      if (position < end) {
        const part = await read(position, Math.min(end, position + PART_BYTES));
        position += part.byteLength;
        controller.enqueue(part);
      }
      if (position >= end) controller.close();
    },
  });
}
