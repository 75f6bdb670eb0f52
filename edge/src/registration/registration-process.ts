/*
 * Entry of a registration process. Making and trying variants takes all of a core for minutes: it runs in a process of its
 * own, below the priority of those that serve, and may be killed at any moment. Who started it kills it after its answer.
 */
import { setPriority } from 'node:os';
import type { ArtifactStore } from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';
import {
  artifactFiles,
  createEngineRunner,
  folderFiles,
  registerTask,
  type SourceFiles,
} from '@nearfar/register';
import type { RegistrationFiles, RegistrationOrder, RegistrationReply } from './messages.ts';
import { openStateParts } from './state-parts.ts';

const LOW_PRIORITY = 10;

setPriority(LOW_PRIORITY);
process.once('message', (order: RegistrationOrder) => void register(order).then(say));
// Nobody is left to tell. An orderly end would wait for a thread that is stuck inside a runtime.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));

async function register(order: RegistrationOrder): Promise<RegistrationReply> {
  const { manifest, options, files, known, stateDirectory } = order;
  const { artifacts, journal } = openStateParts(stateDirectory);
  try {
    const task = await registerTask(manifest, options, {
      files: openFiles(files, artifacts),
      artifacts,
      journal,
      runner: createEngineRunner(),
      known,
      wallTime: Date.now,
      emit: (event) => say({ kind: 'event', event }),
      // A registration that is no longer wanted ends with its process.
      signal: new AbortController().signal,
    });
    return { kind: 'done', task };
  } catch (cause) {
    return { kind: 'failed', error: asMeshError(cause).toBody() };
  }
}

function openFiles(files: RegistrationFiles, artifacts: ArtifactStore): SourceFiles {
  return files.kind === 'folders' ? folderFiles(files.folders) : artifactFiles(artifacts, files.files);
}

function say(reply: RegistrationReply): void {
  process.send?.(reply);
}

function asMeshError(cause: unknown): MeshError {
  if (cause instanceof MeshError) return cause;
  process.stderr.write(`registration failed: ${cause instanceof Error ? cause.stack : String(cause)}\n`);
  return new MeshError(
    'MESH_INTERNAL',
    'The registration failed; standard error (the log of a mesh) says why',
    {
      cause,
    },
  );
}
