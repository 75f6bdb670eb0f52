import { taskInfo } from '@nearfar/coordinator';
import { registerInState } from '@nearfar/edge';
import type { RegistrationOptions, TaskInfo } from '@nearfar/protocol';
import type { Reporter } from './report.ts';

interface LocalRegistration {
  readonly manifest: unknown;
  /** Where its files are: each is looked for in the first folder, then in the next. */
  readonly folders: readonly string[];
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
