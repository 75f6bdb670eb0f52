import { MeshError, type TensorSignature } from '@nearfar/protocol';

/**
 * Where the model has each tensor of a signature: positions in `own`, in the signature's order. By name where the model
 * knows all names of the signature; else by position, since a layers model names its tensors after its layers.
 *
 * @throws MeshError `MESH_VARIANT_FAILED` when the model has another number of them.
 */
export function signatureOrder(
  signature: readonly TensorSignature[],
  own: readonly string[],
  what: 'inputs' | 'outputs',
): number[] {
  const names = signature.map(({ name }) => name);
  if (own.length !== names.length) {
    throw new MeshError(
      'MESH_VARIANT_FAILED',
      `Expected the tfjs model to have ${names.length} ${what} (${names.join(', ')}), found ${own.length} (${own.join(', ')})`,
    );
  }
  const isKnown = names.every((name) => own.includes(name));
  return names.map((name, position) => (isKnown ? own.indexOf(name) : position));
}
