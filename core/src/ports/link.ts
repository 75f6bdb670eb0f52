import type { CoordinatorMessage, Tensor, WorkerMessage } from '@nearfar/protocol';

/**
 * One end of the connection between a worker and its coordinator: a WebSocket, or a pair of functions in one process.
 *
 * Every driver keeps the order of messages, delivers each at most once, validates what comes from outside before it
 * delivers it, and calls the close handler exactly once, however the connection ends. Sending after the end is
 * ignored. Tensors are handed over: the sender must not write to them afterwards.
 */
export interface Link<Incoming, Outgoing> {
  send(message: Outgoing, tensors?: readonly Tensor[]): void;
  /** Sets the one receiver of messages. Messages that arrive before it is set are kept. */
  onMessage(handler: (message: Incoming, tensors: readonly Tensor[]) => void): void;
  onClose(handler: (end: LinkEnd) => void): void;
  /** Bytes that were sent but have not left this process yet. */
  readonly bufferedBytes: number;
  /** Closes with a code of `CLOSE_CODES`, or 1000. May be called twice. */
  close(code?: number, reason?: string): void;
}

export interface LinkEnd {
  readonly code: number;
  readonly reason: string;
}

export type CoordinatorSideLink = Link<WorkerMessage, CoordinatorMessage>;
export type WorkerSideLink = Link<CoordinatorMessage, WorkerMessage>;
