import type { Message } from '@bufbuild/protobuf';

/** A copy of a message with some fields changed. The other fields, unknown ones too, are shared with the original. */
export function withFields<M extends Message>(message: M, changes: Partial<Omit<M, keyof Message>>): M {
  // The prototype holds the defaults of absent fields; `{ ...message }` would lose them.
  return Object.assign(Object.create(Object.getPrototypeOf(message) as object) as M, message, changes);
}
