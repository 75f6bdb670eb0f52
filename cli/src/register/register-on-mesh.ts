import { createHash } from 'node:crypto';
import {
  LIMITS,
  MeshError,
  parseOrThrow,
  type RegistrationEvent,
  type RegistrationOptions,
  type RegistrationRequest,
  registrationEventSchema,
  type TaskInfo,
} from '@nearfar/protocol';
import { namedFiles, type SourceFiles } from '@nearfar/register';
import { callMesh, fetchMesh, type MeshAddress } from '../mesh-client.ts';
import type { Reporter } from './report.ts';

/** Bytes of JSON that name a file in a request, besides its path: hash, size and punctuation. */
const FILE_ENTRY_BYTES = 120;

interface MeshRegistration {
  readonly manifest: unknown;
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
  const { files, options, address, reporter } = registration;
  const paths = await namedFiles(registration.manifest, files);
  // Reading it has shown that it is one.
  const manifest = registration.manifest as RegistrationRequest['manifest'];
  checkNames(manifest, paths);
  const sent = await sendFiles(paths, registration);
  const body: RegistrationRequest = { manifest, files: sent, options };
  const response = await fetchMesh(address, '/v1/models', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    // A registration takes as long as it takes; the stream shows that it goes on.
    timeoutMs: Number.POSITIVE_INFINITY,
  });
  for await (const event of registrationEvents(response)) {
    if (event.type === 'done') return event.task;
    if (event.type === 'failed') throw MeshError.fromBody(event.error);
    reporter.event(event);
  }
  throw cutOff();
}

/** @throws MeshError `MESH_BAD_EVAL_DATA` when one request cannot name all the files; before they are sent in vain. */
function checkNames(manifest: RegistrationRequest['manifest'], paths: readonly string[]): void {
  const bytes = paths.reduce(
    (sum, path) => sum + Buffer.byteLength(path) + FILE_ENTRY_BYTES,
    Buffer.byteLength(JSON.stringify(manifest)),
  );
  if (bytes <= LIMITS.maxInferJsonBytes) return;
  throw new MeshError(
    'MESH_BAD_EVAL_DATA',
    `Expected a manifest with no more files than a registration can name (some 25,000), found ${paths.length}; pack the pictures in one .npz file, or register with --local`,
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
    // A large file on a slow line takes as long as it takes; the mesh gives up a line on which nothing comes.
    const upload = {
      method: 'PUT',
      body: bytes as Uint8Array<ArrayBuffer>,
      timeoutMs: Number.POSITIVE_INFINITY,
    };
    await (await fetchMesh(address, place, upload)).body?.cancel();
  }
  reporter.progress('send', paths.length, paths.length);
  return sent;
}

/**
 * The events of a registration as they come.
 *
 * @throws MeshError `MESH_NETWORK` when the connection ends in the middle, `MESH_INTERNAL` for a line that is no event.
 */
export async function* registrationEvents(response: Response): AsyncGenerator<RegistrationEvent> {
  const lines = linesOf(response);
  for (;;) {
    const line = await lines.next().catch((cause: unknown) => {
      throw cutOff(cause);
    });
    if (line.done) return;
    yield parseOrThrow(registrationEventSchema, parseLine(line.value), 'MESH_INTERNAL', 'registration event');
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    // A whole line is JSON: this one lost its end.
    throw cutOff(cause);
  }
}

function cutOff(cause?: unknown): MeshError {
  const message = 'The mesh ended the registration without a result; run it again, it goes on from there';
  return new MeshError('MESH_NETWORK', message, { cause });
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
