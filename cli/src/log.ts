/** Writes progress and logs to standard error, so that standard output holds only results. */
export function logToStandardError(
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
): void {
  const time = new Date().toISOString();
  const rest = fields === undefined ? '' : ` ${JSON.stringify(fields)}`;
  process.stderr.write(`${time} ${level.padEnd(5)} ${message}${rest}\n`);
}

/** Only what went wrong. */
export function logProblems(
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
): void {
  if (level !== 'info') logToStandardError(level, message, fields);
}
