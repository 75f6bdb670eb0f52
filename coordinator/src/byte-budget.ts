import { MeshError } from '@nearfar/protocol';

/** Bytes that may be held at the same time: callers that bring more have to come back later. */
export class ByteBudget {
  readonly #capacityBytes: number;
  #heldBytes = 0;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Runs `work` while `bytes` are held for it.
   *
   * @throws MeshError `MESH_QUEUE_FULL` when they do not fit any more.
   */
  async hold<Value>(bytes: number, work: () => Promise<Value>): Promise<Value> {
    if (this.#heldBytes + bytes > this.#capacityBytes) {
      throw new MeshError(
        'MESH_QUEUE_FULL',
        `The mesh holds ${this.#heldBytes} bytes of request bodies, of at most ${this.#capacityBytes}; this one has ${bytes}`,
        { retryAfterSeconds: 1 },
      );
    }
    this.#heldBytes += bytes;
    try {
      return await work();
    } finally {
      this.#heldBytes -= bytes;
    }
  }
}
