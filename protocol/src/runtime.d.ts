/*
 * The few globals of every JavaScript runtime (browsers, Node, workerd) that the wire format needs.
 * They are declared here because `protocol` is compiled without DOM and without Node types, so that
 * nothing bound to one runtime can slip in. This file is not part of the published types: each user
 * brings the declarations of its own runtime.
 */

declare class TextEncoder {
  encode(input?: string): Uint8Array<ArrayBuffer>;
  encodeInto(source: string, destination: Uint8Array): { read: number; written: number };
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(input?: ArrayBufferView | ArrayBufferLike): string;
}
