import { MeshError, parseOrThrow, sha256Schema } from '@nearfar/protocol';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { gate } from './gate.ts';

/** `GET /v1/artifacts/{sha256}`: immutable files by content, whole or one range of them. */
export function artifactRoutes(context: Context): Hono<AppEnvironment> {
  const routes = new Hono<AppEnvironment>();
  routes.get('/v1/artifacts/:sha256', gate(context, 'client'), async (http) => {
    const { artifacts } = context.options;
    const sha256 = parseOrThrow(
      sha256Schema,
      http.req.param('sha256'),
      'MESH_UNKNOWN_ARTIFACT',
      'artifact address',
    );
    const sizeBytes = await artifacts.sizeOf(sha256);
    if (sizeBytes === undefined) throw new MeshError('MESH_UNKNOWN_ARTIFACT', `Unknown artifact ${sha256}`);
    const etag = `"${sha256}"`;
    http.header('ETag', etag);
    http.header('Accept-Ranges', 'bytes');
    // Callers show a token, so only their own cache may keep it.
    http.header('Cache-Control', 'private, max-age=31536000, immutable');
    http.header('Content-Type', 'application/octet-stream');
    if (http.req.header('if-none-match') === etag) return http.body(null, 304);

    const ifRange = http.req.header('if-range');
    const wanted = ifRange === undefined || ifRange === etag ? http.req.header('range') : undefined;
    const range = parseRange(wanted, sizeBytes);
    if (range === undefined) return http.body(toArrayBuffer(await artifacts.read(sha256)), 200);
    http.header('Content-Range', `bytes ${range.start}-${range.end - 1}/${sizeBytes}`);
    return http.body(toArrayBuffer(await artifacts.read(sha256, range.start, range.end)), 206);
  });
  return routes;
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

function toArrayBuffer(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice();
}
