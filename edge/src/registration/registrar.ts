import type { Registrar } from '@nearfar/coordinator';
import { runRegistration } from './run-registration.ts';

/** Runs each registration in a process of its own that works on the mesh's state folder. */
export function createRegistrar(stateDirectory: string): Registrar {
  return {
    register: ({ manifest, options, files }, known, emit, signal) => {
      const order = {
        manifest,
        options,
        files: { kind: 'artifacts', files },
        known,
        stateDirectory,
      } as const;
      return runRegistration(order, emit, signal);
    },
  };
}
