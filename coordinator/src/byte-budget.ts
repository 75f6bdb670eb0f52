import { MeshError } from '@nearfar/protocol';

/** Share of the whole that one caller may hold: nobody keeps everybody else out. */
const SHARE_OF_ONE_CALLER = 0.25;

/** Bytes that are held for one request; given back all at once. */
export interface HeldBytes {
  /**
   * Holds `bytes` more.
   *
   * @throws MeshError `MESH_QUEUE_FULL` when they do not fit any more.
   */
  add(bytes: number): void;
  /** Gives back what was held. May be called twice. */
  release(): void;
}

/** Bytes of request bodies that may be held at the same time: callers that bring more have to come back later. */
export class ByteBudget {
  readonly #capacityBytes: number;
  readonly #byCaller = new Map<string, number>();
  #heldBytes = 0;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Begins to hold bytes for a request of `caller`. */
  open(caller: string): HeldBytes {
    let own = 0;
    return {
      add: (bytes) => {
        const ofCaller = (this.#byCaller.get(caller) ?? 0) + bytes;
        const isFull = this.#heldBytes + bytes > this.#capacityBytes;
        if (isFull || ofCaller > this.#capacityBytes * SHARE_OF_ONE_CALLER) {
          const whose = isFull ? 'The mesh' : `"${caller.slice(0, 128)}"`;
          throw new MeshError(
            'MESH_QUEUE_FULL',
            `${whose} has as many bytes of request bodies under way as fit; come back when some are answered`,
            { retryAfterSeconds: 1 },
          );
        }
        own += bytes;
        this.#heldBytes += bytes;
        this.#byCaller.set(caller, ofCaller);
      },
      release: () => {
        this.#heldBytes -= own;
        const left = (this.#byCaller.get(caller) ?? 0) - own;
        if (left > 0) this.#byCaller.set(caller, left);
        else this.#byCaller.delete(caller);
        own = 0;
      },
    };
  }
}
