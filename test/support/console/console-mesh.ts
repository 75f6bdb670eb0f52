import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

const PAGES = fileURLToPath(new URL('../../../web/dist/', import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

/** What the console's routes answer, by path. Tests change it while a page is open. */
export type Answers = Record<string, unknown>;

/** A server of the built console whose routes answer what a test says: states that a real mesh takes long to get into. */
export interface ConsoleMesh {
  readonly url: string;
  readonly answers: Answers;
  close(): Promise<void>;
}

export async function startConsoleMesh(answers: Answers): Promise<ConsoleMesh> {
  const server: Server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    if (path in answers) {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(answers[path]));
      return;
    }
    try {
      const file = await readFile(`${PAGES}${path === '/' ? 'index.html' : path}`);
      response.setHeader('Content-Type', TYPES[extname(path === '/' ? '.html' : path)] ?? 'text/html');
      response.end(file);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    answers,
    close: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
