/*
 * The few globals of every JavaScript runtime that `core` uses: its ports take an abort signal, golden files hold
 * base64. `core` is compiled without DOM and without Node types; each user brings the declarations of its own runtime.
 */

declare function atob(base64: string): string;
declare function btoa(binary: string): string;

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean });
  decode(input?: ArrayBufferView | ArrayBufferLike): string;
}

interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}
