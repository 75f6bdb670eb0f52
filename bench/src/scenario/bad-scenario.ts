import { MeshError } from '@nearfar/protocol';

/** Where in a scenario's files something is wrong. */
export interface Spot {
  readonly file: string;
  /** From 1, the header included; absent where it is no matter of a line. */
  readonly line?: number;
  readonly field?: string;
}

/** The error of a scenario that cannot be run: says where, what was expected and what was found. */
export function badScenario({ file, line, field }: Spot, problem: string, cause?: unknown): MeshError {
  const place = [
    file,
    ...(line === undefined ? [] : [`line ${line}`]),
    ...(field === undefined ? [] : [`"${field}"`]),
  ].join(', ');
  return new MeshError('MESH_BAD_SCENARIO', `${place}: ${problem}`, cause === undefined ? {} : { cause });
}
