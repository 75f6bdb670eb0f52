import { InvalidArgumentError } from 'commander';

/** A whole number from 0. */
export function parseCount(text: string): number {
  return wholeNumber(text, 0, Number.MAX_SAFE_INTEGER);
}

/** A whole number from 1. */
export function parsePositive(text: string): number {
  return wholeNumber(text, 1, Number.MAX_SAFE_INTEGER);
}

/** A TCP port; 0 lets the system choose. */
export function parsePort(text: string): number {
  return wholeNumber(text, 0, 65_535);
}

/** A number from 0. */
export function parseAmount(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError(`Expected a number from 0, got "${text}".`);
  return value;
}

/** A number above 0. */
export function parseAboveZero(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError(`Expected a number above 0, got "${text}".`);
  return value;
}

/** The address of a mesh. */
export function parseMeshUrl(text: string): string {
  return urlWith(['http:', 'https:'], text);
}

/** The address of a mesh as a worker may name it. */
export function parseJoinUrl(text: string): string {
  return urlWith(['http:', 'https:', 'ws:', 'wss:'], text);
}

/** One more origin, as browsers write it: scheme, host and port, with nothing behind. */
export function parseOrigin(text: string, before: readonly string[] | undefined): readonly string[] {
  if (!URL.canParse(text) || new URL(text).origin !== text) {
    throw new InvalidArgumentError(`Expected an origin such as https://shop.example, got "${text}".`);
  }
  return [...(before ?? []), text];
}

/** A share from 0 to 1. */
export function parseUnit(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError(`Expected a number from 0 to 1, got "${text}".`);
  return value;
}

/** A share above 0, at most 1. */
export function parseShare(text: string): number {
  const value = parseUnit(text);
  if (value === 0) throw new InvalidArgumentError('Expected a number above 0, got "0".');
  return value;
}

function wholeNumber(text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most) {
    throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}, got "${text}".`);
  }
  return value;
}

function urlWith(protocols: readonly string[], text: string): string {
  if (!URL.canParse(text) || !protocols.includes(new URL(text).protocol)) {
    const expected = protocols.map((protocol) => `${protocol}//`).join(', ');
    throw new InvalidArgumentError(`Expected a URL that starts with ${expected}, got "${text}".`);
  }
  return text;
}
