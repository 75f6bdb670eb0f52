import { MeshError } from '@nearfar/protocol';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';

/** The console at `/`, the demo at `/demo`, and their files. Open: a page holds no secret, its calls show a token. */
export function pageRoutes(context: Context): Hono<AppEnvironment> {
  const routes = new Hono<AppEnvironment>();
  const { assets } = context.options;
  routes.get('*', async (http) => {
    const path = http.req.path.replace(/^\/+/, '').replace(/\/+$/, '');
    for (const name of assets === undefined || path.startsWith('v1/') || path.startsWith('v2/')
      ? []
      : namesOf(path)) {
      const file = await assets?.read(name);
      if (file === undefined) continue;
      const isHashed = name.startsWith('assets/');
      return http.body(new Uint8Array(file.bytes), 200, {
        'Content-Type': file.contentType,
        'Cache-Control': isHashed ? 'public, max-age=31536000, immutable' : 'no-cache',
        'X-Content-Type-Options': 'nosniff',
        // The first address of a page may carry its token.
        'Referrer-Policy': 'no-referrer',
        'Content-Security-Policy': "object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
      });
    }
    throw new MeshError(
      'MESH_NOT_FOUND',
      `There is nothing at ${http.req.method} ${http.req.path.slice(0, 128)}`,
    );
  });
  return routes;
}

function namesOf(path: string): string[] {
  if (path === '') return ['index.html'];
  return /\.[a-z0-9]+$/i.test(path) ? [path] : [`${path}/index.html`, `${path}.html`];
}
