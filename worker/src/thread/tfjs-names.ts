/**
 * The model's own name for each name of a signature, in the signature's order. Where the model does not know all of them,
 * as a layers model names its tensors after its layers, they are taken by position. Throws when their numbers differ.
 */
export function ownNames(
  expected: readonly string[],
  found: readonly string[],
  what: 'inputs' | 'outputs',
): readonly string[] {
  if (expected.length !== found.length) {
    throw new Error(
      `Expected the tfjs model to have ${expected.length} ${what} (${expected.join(', ')}), found ${found.length} (${found.join(', ')})`,
    );
  }
  return expected.every((name) => found.includes(name)) ? expected : found;
}
