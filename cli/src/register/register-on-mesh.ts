import { createHash } from 'node:crypto';
import {
  MeshError,
  parseOrThrow,
  type RegistrationOptions,
  type RegistrationRequest,
  registrationEventSchema,
  type TaskInfo,
} from '@nearfar/protocol';
import { namedFiles, type SourceFiles } from '@nearfar/register';
import { callMesh, fetchMesh, type MeshAddress } from '../mesh-client.ts';
import type { Reporter } from './report.ts';

interface MeshRegistration {
  readonly json: unknown;
  readonly files: SourceFiles;
  readonly options: RegistrationOptions;
  readonly address: MeshAddress;
  readonly reporter: Reporter;
}

/** Whether a mesh answers. Rejects when something else does. */
export async function isMeshThere(address: MeshAddress): Promise<boolean> {
  try {
    await callMesh(address, '/v2/health/live');
    return true;
  } catch (error) {
    if (error instanceof MeshError && error.code === 'MESH_NETWORK') return false;
    throw error;
  }
}

/** Sends the manifest's files and has the mesh register the task. */
export async function registerOnMesh(registration: MeshRegistration): Promise<TaskInfo> {
  const { json, files, options, address, reporter } = registration;
  const manifest = json as RegistrationRequest['manifest'];
  const paths = await namedFiles(json, files);
  const sent = await sendFiles(paths, registration);
  const body: RegistrationRequest = { manifest, files: sent, options };
  const response = await fetchMesh(address, '/v1/models', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    // A registration takes as long as it takes; the stream shows that it goes on.
    timeoutMs: Number.POSITIVE_INFINITY,
  });
  for await (const line of linesOf(response)) {
    const event = parseOrThrow(
      registrationEventSchema,
      JSON.parse(line),
      'MESH_INTERNAL',
      'registration event',
    );
    if (event.type === 'done') return event.task;
    if (event.type === 'failed') throw MeshError.fromBody(event.error);
    reporter.event(event);
  }
  throw new MeshError(
    'MESH_NETWORK',
    'The mesh ended the registration without a result; run it again, it goes on from there',
  );
}

/** Sends what the mesh does not have yet, by its hash. */
async function sendFiles(
  paths: readonly string[],
  { files, address, reporter }: MeshRegistration,
): Promise<RegistrationRequest['files']> {
  const sent: Record<string, { sha256: string; sizeBytes: number }> = {};
  for (const [done, path] of paths.entries()) {
    reporter.progress(`send ${path}`, done, paths.length);
    const bytes = await files.read(path);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    sent[path] = { sha256, sizeBytes: bytes.byteLength };
    const place = `/v1/artifacts/${sha256}`;
    const known = await fetchMesh(address, place, { method: 'HEAD', allow: [404] });
    if (known.ok) continue;
    await (
      await fetchMesh(address, place, { method: 'PUT', body: bytes as Uint8Array<ArrayBuffer> })
    ).body?.cancel();
  }
  reporter.progress('send', paths.length, paths.length);
  return sent;
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  let rest = '';
  for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + part).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield line;
  }
  if (rest !== '') yield rest;
}
