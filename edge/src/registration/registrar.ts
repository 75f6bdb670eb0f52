import { fork } from 'node:child_process';
import type { Registrar } from '@nearfar/coordinator';
import type { RegisteredTask } from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';
import type { RegistrationOrder, RegistrationReply } from './messages.ts';

// Sources run as TypeScript in the repository and as JavaScript in the published package.
const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './registration-process.ts' : './registration-process.js',
  import.meta.url,
);

/** Runs each registration in a process of its own that works on the mesh's state folder. */
export function createRegistrar(stateDirectory: string): Registrar {
  return {
    register: (request, known, emit, signal) =>
      new Promise<RegisteredTask>((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const child = fork(ENTRY, {
          serialization: 'advanced',
          stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        });
        const stop = () => child.kill('SIGKILL');
        signal.addEventListener('abort', stop, { once: true });
        child.on('message', (reply: RegistrationReply) => {
          if (reply.kind === 'event') emit(reply.event);
          else if (reply.kind === 'done') resolve(reply.task);
          else reject(MeshError.fromBody(reply.error));
        });
        child.on('error', reject);
        child.on('exit', (code, killedBy) => {
          signal.removeEventListener('abort', stop);
          const how = killedBy === null ? `with code ${code}` : `by ${killedBy}`;
          // Without effect after an answer.
          reject(
            signal.aborted
              ? signal.reason
              : new MeshError(
                  'MESH_INTERNAL',
                  `The registration process ended ${how}; run it again, it goes on from there`,
                ),
          );
        });
        const order: RegistrationOrder = { request, known, stateDirectory };
        child.send(order);
      }),
  };
}
