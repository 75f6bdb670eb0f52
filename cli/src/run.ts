import { MeshError } from '@nearfar/protocol';
import { CommanderError } from 'commander';
import { ExitError } from './exit-error.ts';
import { createProgram } from './program.ts';

/** Runs one command line and gives its exit code: 0 ok, 1 failed, 2 wrong usage, 130 stopped before it was done. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`nearfar: ${describe(error)}\n`);
    return error instanceof ExitError ? error.exitCode : 1;
  }
}

function describe(error: unknown): string {
  if (error instanceof MeshError) {
    const details = error.details === undefined ? '' : `\n${JSON.stringify(error.details, null, 2)}`;
    return `${error.message} (${error.code})${details}`;
  }
  return error instanceof Error ? error.message : String(error);
}
