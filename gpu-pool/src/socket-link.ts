import { crc32 } from 'node:zlib';
import type { LinkEnd, WorkerSideLink } from '@nearfar/core';
import {
  CLOSE_CODES,
  type CoordinatorMessage,
  coordinatorMessageSchema,
  decodeFrame,
  encodeFrame,
  parseOrThrow,
  type Tensor,
  type WorkerMessage,
} from '@nearfar/protocol';
import type { RawData, WebSocket } from 'ws';

/** Pings go out this often; a peer that answers none of two in a row is dead. */
export const PING_EVERY_MS = 5_000;

type Handler = (message: CoordinatorMessage, tensors: readonly Tensor[]) => void;

/** The worker's end of the link over an open WebSocket. */
export class SocketLink implements WorkerSideLink {
  readonly #socket: WebSocket;
  readonly #now: () => number;
  readonly #early: [CoordinatorMessage, readonly Tensor[]][] = [];
  readonly #heartbeat: NodeJS.Timeout;
  #handler: Handler | undefined;
  readonly #closeHandlers: ((end: LinkEnd) => void)[] = [];
  #end: LinkEnd | undefined;
  #pingedAt: number | undefined;
  #missedPongs = 0;
  #rttMs: number | undefined;

  /** @param now milliseconds on a monotonic scale, for the round trip. */
  constructor(socket: WebSocket, now: () => number) {
    this.#socket = socket;
    this.#now = now;
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    socket.on('pong', () => this.#ponged());
    // `close` follows every error, and tells what is left to know.
    socket.on('error', () => undefined);
    socket.on('close', (code, reason) => this.#ended({ code, reason: reason.toString() }));
    this.#heartbeat = setInterval(() => this.#ping(), PING_EVERY_MS);
    this.#ping();
  }

  /** Newest measured round trip in milliseconds; undefined before the first pong. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  send(message: WorkerMessage, tensors: readonly Tensor[] = []): void {
    if (this.#end !== undefined || this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(encodeFrame({ message, tensors }, crc32));
  }

  onMessage(handler: Handler): void {
    this.#handler = handler;
    for (const [message, tensors] of this.#early.splice(0)) handler(message, tensors);
  }

  onClose(handler: (end: LinkEnd) => void): void {
    if (this.#end === undefined) this.#closeHandlers.push(handler);
    else handler(this.#end);
  }

  close(code = 1_000, reason = ''): void {
    // A close frame carries at most 123 bytes of reason (RFC 6455, section 5.5).
    this.#socket.close(code, Buffer.from(reason).subarray(0, 123));
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.#end !== undefined) return;
    try {
      if (!isBinary || !(data instanceof Buffer)) throw new TypeError('Expected a binary frame');
      // A message may lie anywhere in ws's buffers; tensors are viewed in place, so they must start on 8 bytes.
      const bytes = data.byteOffset % 8 === 0 ? data : new Uint8Array(data);
      const frame = decodeFrame(bytes, crc32);
      const message = parseOrThrow(coordinatorMessageSchema, frame.message, 'MESH_BAD_FRAME', 'message');
      if (this.#handler === undefined) this.#early.push([message, frame.tensors]);
      else this.#handler(message, frame.tensors);
    } catch (error) {
      this.close(CLOSE_CODES.badFrame, (error as Error).message);
    }
  }

  #ping(): void {
    if (this.#pingedAt !== undefined) {
      this.#missedPongs += 1;
      if (this.#missedPongs >= 2) {
        this.#socket.terminate();
        return;
      }
    }
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#pingedAt ??= this.#now();
    this.#socket.ping();
  }

  #ponged(): void {
    if (this.#pingedAt === undefined) return;
    this.#rttMs = this.#now() - this.#pingedAt;
    this.#pingedAt = undefined;
    this.#missedPongs = 0;
  }

  #ended(end: LinkEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    clearInterval(this.#heartbeat);
    for (const handler of this.#closeHandlers.splice(0)) handler(end);
  }
}
