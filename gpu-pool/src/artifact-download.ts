import { type Artifact, MeshError } from '@nearfar/protocol';
import type { ArtifactSource } from '@nearfar/worker';

/** A download that takes longer is given up. */
const DOWNLOAD_WITHIN_MS = 10 * 60_000;

/**
 * Downloads artifacts from the mesh with the worker's token, never more bytes than the artifact is said to have.
 * Rejects with `MESH_UNKNOWN_ARTIFACT`, `MESH_ARTIFACT_CORRUPT` (another size) or `MESH_NETWORK`, and with the
 * signal's reason when it aborts first.
 */
export function artifactDownload(folder: URL, token: string): ArtifactSource {
  return {
    async fetch(artifact, signal) {
      const timeout = AbortSignal.timeout(DOWNLOAD_WITHIN_MS);
      try {
        const response = await fetch(new URL(artifact.sha256, folder), {
          headers: { authorization: `Bearer ${token}` },
          signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
        });
        return await readAnswer(response, artifact);
      } catch (cause) {
        signal?.throwIfAborted();
        if (cause instanceof MeshError) throw cause;
        // Whatever `fetch` and its streams throw by themselves: no connection, a broken one, or the time limit.
        const message = `The download of "${artifact.path}" from ${folder.host} failed: ${String(cause)}`;
        throw new MeshError('MESH_NETWORK', message, { cause });
      }
    },
  };
}

async function readAnswer(response: Response, artifact: Artifact): Promise<Uint8Array> {
  if (response.ok && response.body !== null) return await readExactly(response.body, artifact);
  await response.body?.cancel();
  throw new MeshError(
    response.status === 404 ? 'MESH_UNKNOWN_ARTIFACT' : 'MESH_NETWORK',
    `Expected "${artifact.path}" (${artifact.sha256}) from the mesh, got HTTP ${response.status}`,
  );
}

async function readExactly(body: ReadableStream<Uint8Array>, artifact: Artifact): Promise<Uint8Array> {
  const bytes = new Uint8Array(artifact.sizeBytes);
  let offset = 0;
  for await (const chunk of body) {
    if (offset + chunk.byteLength > bytes.byteLength) throw wrongSize(artifact, 'more');
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  if (offset < bytes.byteLength) throw wrongSize(artifact, `${offset}`);
  return bytes;
}

function wrongSize(artifact: Artifact, found: string): MeshError {
  return new MeshError(
    'MESH_ARTIFACT_CORRUPT',
    `Expected "${artifact.path}" to have ${artifact.sizeBytes} bytes, got ${found}`,
  );
}
