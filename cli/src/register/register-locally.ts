import { taskInfo } from '@nearfar/coordinator';
import { registerInState } from '@nearfar/edge';
import type { RegistrationOptions, TaskInfo } from '@nearfar/protocol';
import type { SourceFiles } from '@nearfar/register';
import type { Reporter } from './report.ts';

interface LocalRegistration {
  readonly json: unknown;
  readonly files: SourceFiles;
  readonly options: RegistrationOptions;
  readonly stateDirectory: string;
  readonly reporter: Reporter;
}

/** Registers in a state folder that no mesh is using; a mesh that starts there later serves the task. */
export async function registerLocally(registration: LocalRegistration): Promise<TaskInfo> {
  const { reporter, ...rest } = registration;
  const record = await registerInState({ ...rest, emit: (event) => reporter.event(event) });
  return taskInfo(record);
}
