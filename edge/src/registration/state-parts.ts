import { join } from 'node:path';
import { openArtifactFolder } from '@nearfar/coordinator/node';
import { openJournal } from '@nearfar/register';

/** Where a state folder keeps what registrations make. */
export function openStateParts(stateDirectory: string) {
  return {
    artifacts: openArtifactFolder(join(stateDirectory, 'artifacts')),
    journal: openJournal(join(stateDirectory, 'registrations')),
  };
}
