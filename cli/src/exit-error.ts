/** An end with an exit code of its own: `usageError` gives 2, an end by a signal 130. */
export class ExitError extends Error {
  override readonly name = 'ExitError';
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The end of a command that was called in a way that can never work, whatever the mesh says. */
export function usageError(message: string): ExitError {
  return new ExitError(2, message);
}
