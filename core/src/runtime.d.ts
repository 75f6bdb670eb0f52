/*
 * The only ambient type of `core`: its ports take an abort signal. `core` is compiled without DOM and
 * without Node types; each user brings the declaration of its own runtime.
 */

interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}
