/** Where a worker dials in and where it downloads. */
export interface MeshUrls {
  /** WebSocket of the link. */
  readonly link: URL;
  /** The folder of artifacts, ending in a slash. */
  readonly artifacts: URL;
}

/**
 * Reads the address of a mesh: `http(s)://host[:port][/path]` or `ws(s)://…`, with or without `/v1/link` at its end.
 *
 * @throws RangeError when it is no such URL.
 */
export function parseJoinUrl(join: string): MeshUrls {
  const base = URL.canParse(join) ? new URL(join) : undefined;
  const scheme = base === undefined ? undefined : /^(http|ws)(s?):$/.exec(base.protocol);
  if (base === undefined || !scheme) {
    throw new RangeError(`Expected join to be an http, https, ws or wss URL, got "${join}"`);
  }
  const secure = scheme[2] ?? '';
  const path = base.pathname.replace(/\/v1\/link\/?$/, '').replace(/\/+$/, '');
  return {
    link: new URL(`ws${secure}://${base.host}${path}/v1/link`),
    artifacts: new URL(`http${secure}://${base.host}${path}/v1/artifacts/`),
  };
}
