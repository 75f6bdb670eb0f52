import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Transform } from 'node:stream';

/** A TCP proxy on loopback that stands in for a long way: every byte is late by half a round trip each way. */
export interface WanProxy {
  readonly url: string;
  close(): Promise<void>;
}

/** Starts a proxy in front of `target` that adds `roundTripMs` to each round trip. */
export async function startWanProxy(target: string, roundTripMs: number): Promise<WanProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect({ host: hostname, port: Number(port) });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
      // A broken connection ends by its close event; the error itself says nothing more here.
      socket.on('error', () => socket.destroy());
    }
    near.pipe(delayed(roundTripMs / 2)).pipe(far);
    far.pipe(delayed(roundTripMs / 2)).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Hands each chunk on `delayMs` after it came, in order and without holding up the ones behind it. */
function delayed(delayMs: number): Transform {
  let pending = 0;
  let finish: (() => void) | undefined;
  return new Transform({
    transform(chunk, _encoding, next) {
      pending += 1;
      setTimeout(() => {
        pending -= 1;
        this.push(chunk);
        if (pending === 0) finish?.();
      }, delayMs);
      next();
    },
    flush(done) {
      if (pending === 0) done();
      else finish = done;
    },
  });
}
