/**
 * Where an id falls among all ids, 0 to below 1: evenly spread, and always the same for the same id. A share `s` of
 * requests are those that fall below `s`, so whoever knows a decision's id knows on which side it was.
 *
 * FNV-1a over the characters, then the finaliser of MurmurHash3, without which ids that differ only at their end would
 * fall close together.
 */
export function positionOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < id.length; index += 1) {
    hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return (hash >>> 0) / 2 ** 32;
}
