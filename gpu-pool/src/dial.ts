import { LIMITS, MeshError } from '@nearfar/protocol';
import { WebSocket } from 'ws';

const HANDSHAKE_WITHIN_MS = 10_000;

/**
 * Opens the WebSocket of the link.
 *
 * Rejects with `MESH_UNAUTHENTICATED` or `MESH_FORBIDDEN` when the mesh does not want us, `MESH_PROTOCOL_MISMATCH` on
 * HTTP 426, `MESH_NETWORK` otherwise, and with the signal's reason when it aborts first.
 */
export function dial(url: URL, token: string, signal: AbortSignal): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${token}` },
      perMessageDeflate: false,
      maxPayload: LIMITS.maxFrameBytes,
      handshakeTimeout: HANDSHAKE_WITHIN_MS,
    });
    const stop = () => {
      signal.removeEventListener('abort', onAbort);
      socket.off('open', onOpen);
      socket.off('unexpected-response', onResponse);
    };
    const fail = (error: unknown) => {
      stop();
      reject(error);
      socket.terminate();
    };
    const onAbort = () => fail(signal.reason);
    const onOpen = () => {
      stop();
      socket.off('error', onError);
      resolve(socket);
    };
    const onResponse = (_request: unknown, response: { statusCode?: number }) =>
      fail(refusal(url, response.statusCode ?? 0));
    // Stays after a failure, since ending a half-open socket reports another error.
    const onError = (cause: Error) => fail(network(url, cause));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('open', onOpen);
    socket.on('unexpected-response', onResponse);
    socket.on('error', onError);
  });
}

function refusal(url: URL, status: number): MeshError {
  const message = `The mesh at ${url.host} refused the worker with HTTP ${status}`;
  if (status === 401) return new MeshError('MESH_UNAUTHENTICATED', `${message}: check the token`);
  if (status === 403) return new MeshError('MESH_FORBIDDEN', `${message}: the token needs the role "worker"`);
  if (status === 426) return new MeshError('MESH_PROTOCOL_MISMATCH', `${message}: another link protocol`);
  return new MeshError('MESH_NETWORK', message);
}

function network(url: URL, cause: Error): MeshError {
  return new MeshError('MESH_NETWORK', `The mesh at ${url.host} cannot be reached: ${cause.message}`, {
    cause,
  });
}
