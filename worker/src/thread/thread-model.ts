import type { RunResult, SharedTensor, ThreadTensor } from '../engine-messages.ts';

/** A model that was loaded in this thread, in whichever format. */
export interface ThreadModel {
  /** Gives the outputs of the model's signature. Throws the runtime's errors as they are. */
  run(inputs: readonly (ThreadTensor | SharedTensor)[]): Promise<RunResult>;
  /** Frees its memory. Called once, last. */
  release(): Promise<void>;
}

/** The elements' bytes in memory of this thread alone, as the runtimes want them. */
export function ownBytes({ data }: ThreadTensor | SharedTensor): Uint8Array<ArrayBuffer> {
  return isOwn(data) ? data : copyOf(data.buffer, data.byteOffset, data.byteLength);
}

/** A copy of shared bytes that no other thread sees. */
export function copyOf(
  shared: SharedArrayBuffer,
  byteOffset = 0,
  byteLength = shared.byteLength - byteOffset,
): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(byteLength);
  copy.set(new Uint8Array(shared, byteOffset, byteLength));
  return copy;
}

function isOwn(
  data: Uint8Array<ArrayBuffer> | Uint8Array<SharedArrayBuffer>,
): data is Uint8Array<ArrayBuffer> {
  return data.buffer instanceof ArrayBuffer;
}
