import { fork } from 'node:child_process';
import type { RegisteredTask } from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';
import type { RegistrationNews, RegistrationOrder, RegistrationReply } from './messages.ts';

// Sources run as TypeScript in the repository and as JavaScript in the published package.
const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './registration-process.ts' : './registration-process.js',
  import.meta.url,
);
const STANDARD_ERROR = 2;

/**
 * Runs a registration in a process of its own: a model that crashes or blocks a runtime takes that process with it and
 * nothing else. The process is gone when this settles.
 *
 * @throws MeshError as `registerTask`, `MESH_INTERNAL` when the process ends without an answer; the signal's reason.
 */
export async function runRegistration(
  order: RegistrationOrder,
  emit: (event: RegistrationNews) => void,
  signal: AbortSignal,
): Promise<RegisteredTask> {
  signal.throwIfAborted();
  const child = fork(ENTRY, {
    serialization: 'advanced',
    // Standard output is for results only; whatever a runtime prints is none.
    stdio: ['ignore', STANDARD_ERROR, STANDARD_ERROR, 'ipc'],
  });
  const stop = () => child.kill('SIGKILL');
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise((resolve, reject) => {
      child.on('message', (reply: RegistrationReply) => {
        if (reply.kind === 'event') emit(reply.event);
        else if (reply.kind === 'done') resolve(reply.task);
        else reject(MeshError.fromBody(reply.error));
      });
      child.on('error', reject);
      child.on('exit', (code, killedBy) => reject(signal.aborted ? signal.reason : ended(code, killedBy)));
      child.send(order);
    });
  } finally {
    signal.removeEventListener('abort', stop);
    // After its answer as well: a process whose thread is stuck inside a runtime cannot end by itself.
    stop();
  }
}

function ended(code: number | null, killedBy: string | null): MeshError {
  const how = killedBy === null ? `with code ${code}` : `by ${killedBy}`;
  return new MeshError(
    'MESH_INTERNAL',
    `The registration process ended ${how}; run it again, it goes on from there`,
  );
}
