import { crc32 } from 'node:zlib';
import type { CoordinatorSideLink, LinkEnd } from '@nearfar/core';
import {
  CLOSE_CODES,
  decodeFrame,
  encodeFrame,
  parseOrThrow,
  type Tensor,
  type WorkerMessage,
  workerMessageSchema,
} from '@nearfar/protocol';
import { WebSocket } from 'ws';

/** Longest close reason that the WebSocket protocol carries, in bytes. */
const MAX_REASON_BYTES = 123;

/** A worker's WebSocket as a link. Frames are checked here; a bad one closes it with `CLOSE_CODES.badFrame`. */
export function createWebSocketLink(socket: WebSocket): CoordinatorSideLink {
  socket.binaryType = 'arraybuffer';
  const early: [WorkerMessage, readonly Tensor[]][] = [];
  let onMessage: ((message: WorkerMessage, tensors: readonly Tensor[]) => void) | undefined;
  let onClose: ((end: LinkEnd) => void) | undefined;
  let end: LinkEnd | undefined;

  const close = (code = 1000, reason = '') => {
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.close(code, shorten(reason));
  };
  socket.on('message', (data, isBinary) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    try {
      if (!isBinary) throw new TypeError('Expected a binary frame, got text');
      const frame = decodeFrame(new Uint8Array(data as ArrayBuffer), crc32);
      const message = parseOrThrow(workerMessageSchema, frame.message, 'MESH_BAD_FRAME', 'message');
      if (onMessage === undefined) early.push([message, frame.tensors]);
      else onMessage(message, frame.tensors);
    } catch (error) {
      close(CLOSE_CODES.badFrame, (error as Error).message);
    }
  });
  socket.on('close', (code, reason) => {
    end = { code, reason: reason.toString('utf8') };
    onClose?.(end);
  });
  // Every error is followed by "close", which says it all; without a listener it would end the process.
  socket.on('error', () => undefined);

  return {
    send: (message, tensors = []) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(encodeFrame({ message, tensors }, crc32));
    },
    onMessage: (handler) => {
      onMessage = handler;
      for (const [message, tensors] of early.splice(0)) handler(message, tensors);
    },
    onClose: (handler) => {
      onClose = handler;
      if (end !== undefined) handler(end);
    },
    get bufferedBytes() {
      return socket.bufferedAmount;
    },
    close,
  };
}

function shorten(reason: string): string {
  let short = reason.slice(0, MAX_REASON_BYTES);
  while (Buffer.byteLength(short) > MAX_REASON_BYTES) short = short.slice(0, -1);
  return short;
}
