import type { CoordinatorSideLink, Link, LinkEnd, WorkerSideLink } from '@nearfar/core';
import type { CoordinatorMessage, Tensor, WorkerMessage } from '@nearfar/protocol';

/** The two ends of a link inside one process. */
export interface InProcessLink {
  readonly coordinatorSide: CoordinatorSideLink;
  readonly workerSide: WorkerSideLink;
}

/**
 * Makes a link that hands messages and tensors over as they are, without copying them. Each is delivered in a microtask
 * of its own, in order, so that no receiver runs inside the sender's call.
 */
export function createInProcessLink(): InProcessLink {
  const coordinatorSide = new LinkSide<WorkerMessage, CoordinatorMessage>();
  const workerSide = new LinkSide<CoordinatorMessage, WorkerMessage>();
  coordinatorSide.peer = workerSide;
  workerSide.peer = coordinatorSide;
  return { coordinatorSide, workerSide };
}

class LinkSide<Incoming, Outgoing> implements Link<Incoming, Outgoing> {
  peer: LinkSide<Outgoing, Incoming> | undefined;
  readonly bufferedBytes = 0;
  readonly #early: [Incoming, readonly Tensor[]][] = [];
  readonly #closeHandlers: ((end: LinkEnd) => void)[] = [];
  #handler: ((message: Incoming, tensors: readonly Tensor[]) => void) | undefined;
  #end: LinkEnd | undefined;

  send(message: Outgoing, tensors: readonly Tensor[] = []): void {
    if (this.#end !== undefined) return;
    queueMicrotask(() => this.peer?.deliver(message, tensors));
  }

  onMessage(handler: (message: Incoming, tensors: readonly Tensor[]) => void): void {
    this.#handler = handler;
    for (const [message, tensors] of this.#early.splice(0)) handler(message, tensors);
  }

  onClose(handler: (end: LinkEnd) => void): void {
    if (this.#end === undefined) this.#closeHandlers.push(handler);
    else handler(this.#end);
  }

  close(code = 1_000, reason = ''): void {
    // In a microtask, behind what was sent before.
    queueMicrotask(() => {
      this.end({ code, reason });
      this.peer?.end({ code, reason });
    });
  }

  deliver(message: Incoming, tensors: readonly Tensor[]): void {
    if (this.#end !== undefined) return;
    if (this.#handler === undefined) this.#early.push([message, tensors]);
    else this.#handler(message, tensors);
  }

  end(end: LinkEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    for (const handler of this.#closeHandlers.splice(0)) handler(end);
  }
}
