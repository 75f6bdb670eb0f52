/*
 * Entry of a registration process. Making and trying variants takes all of a core for minutes: it runs in a process of its
 * own, below the priority of those that serve, and may be killed at any moment.
 */
import { setPriority } from 'node:os';
import { MeshError } from '@nearfar/protocol';
import { artifactFiles, createEngineRunner, registerTask } from '@nearfar/register';
import type { RegistrationOrder, RegistrationReply } from './messages.ts';
import { openStateParts } from './state-parts.ts';

const LOW_PRIORITY = 10;

setPriority(LOW_PRIORITY);
process.once('message', (order: RegistrationOrder) => {
  void register(order).then(async (reply) => {
    await say(reply);
    process.disconnect();
  });
});
// Nobody is left to tell.
process.once('disconnect', () => process.exit());

async function register({ request, known, stateDirectory }: RegistrationOrder): Promise<RegistrationReply> {
  const { artifacts, journal } = openStateParts(stateDirectory);
  const runner = createEngineRunner();
  try {
    const task = await registerTask(request.manifest, request.options, {
      files: artifactFiles(artifacts, request.files),
      artifacts,
      journal,
      runner,
      known,
      wallTime: Date.now,
      emit: (event) => void say({ kind: 'event', event }),
      // A registration that is no longer wanted ends with its process.
      signal: new AbortController().signal,
    });
    return { kind: 'done', task };
  } catch (cause) {
    return { kind: 'failed', error: asMeshError(cause).toBody() };
  }
}

function say(reply: RegistrationReply): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) return resolve();
    process.send(reply, () => resolve());
  });
}

function asMeshError(cause: unknown): MeshError {
  if (cause instanceof MeshError) return cause;
  process.stderr.write(`registration failed: ${cause instanceof Error ? cause.stack : String(cause)}\n`);
  return new MeshError('MESH_INTERNAL', 'The registration failed; the log of the mesh says why', { cause });
}
