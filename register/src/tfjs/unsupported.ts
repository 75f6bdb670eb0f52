import { MeshError } from '@nearfar/protocol';

/**
 * What is thrown where a node of the graph is outside of what is converted. `makeTfjs` puts the node before it and gives it as
 * the reason why there is no tfjs variant.
 */
export function unsupported(expected: string, found: string): MeshError {
  return new MeshError('MESH_UNSUPPORTED', `expected ${expected}, found ${found}`);
}

/** Most elements of a constant that is made larger here: spread kernels, constants folded into one, counts of a mean. */
const MAX_MADE_ELEMENTS = 2 ** 24;

/** `count`, unless that is more than what may be made. */
export function boundedElements(count: number): number {
  if (count <= MAX_MADE_ELEMENTS) return count;
  throw unsupported(`constants of at most ${MAX_MADE_ELEMENTS} elements`, `${count}`);
}
