import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createToken } from '@nearfar/coordinator';
import { type Edge, startEdge } from '@nearfar/edge';
import { startChildWorker } from '../child-worker.ts';
import { loadInputs } from '../demo/inputs.ts';
import { FAR_ROUND_TRIP_MS, openCallingPage, startBrowser } from '../demo/page-callers.ts';
import { formatReport } from '../demo/report.ts';
import { runCallers } from '../demo/run-callers.ts';
import { waitUntilReady } from '../demo/wait-until-ready.ts';
import { startWanProxy } from '../demo/wan-proxy.ts';
import { logProblems } from '../log.ts';
import { pagesDirectory, sampleManifests } from '../places.ts';

interface DemoOptions {
  readonly seconds: number;
  readonly data?: string;
  readonly json?: boolean;
}

const TOKEN_SECONDS = 3600;

/** `nearfar demo`: a whole mesh on this machine, real callers against it, and a table of what happened. */
export async function demo(options: DemoOptions): Promise<void> {
  const inputs = await loadInputs(options.data);
  const assetsDirectory = pagesDirectory();
  if (assetsDirectory === undefined) throw new Error('needs the built pages; run "npm run build:web"');
  const stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-demo-'));
  const closers: (() => Promise<unknown>)[] = [() => rm(stateDirectory, { recursive: true, force: true })];
  try {
    note('starting the mesh: coordinator, edge, one pool worker process');
    const edge: Edge = await startEdge({
      host: '127.0.0.1',
      port: 0,
      stateDirectory,
      assetsDirectory,
      manifests: sampleManifests(),
      log: logProblems,
    });
    closers.push(() => edge.close());
    const workerToken = await createToken(edge.secret, {
      role: 'worker',
      subject: 'demo',
      expiresInSeconds: TOKEN_SECONDS,
    });
    const token = await createToken(edge.secret, {
      role: 'admin',
      subject: 'demo',
      expiresInSeconds: TOKEN_SECONDS,
    });
    const worker = startChildWorker({ join: edge.url, token: workerToken, id: 'demo-pool', quiet: true });
    closers.push(() => worker.stop());
    await waitUntilReady(edge.url, token, 2);

    note(`starting a browser with pages next to the mesh and behind ${FAR_ROUND_TRIP_MS} ms`);
    const far = await startWanProxy(edge.url, FAR_ROUND_TRIP_MS);
    closers.push(() => far.close());
    const browser = await startBrowser();
    closers.push(() => browser.close());
    const tasks = inputs.tasks.map((entry) => entry.task);
    const farPage = await openCallingPage(browser, far.url, token, tasks);
    const localPage = await openCallingPage(browser, far.url, token, tasks);
    const nearPage = await openCallingPage(browser, edge.url, token, tasks);

    note(`calling for ${options.seconds} s`);
    const report = await runCallers({
      url: edge.url,
      token,
      inputs,
      seconds: options.seconds,
      farPage,
      localPage,
      nearPage,
    });
    process.stdout.write(`${options.json ? JSON.stringify(report) : formatReport(report)}\n`);
    if (report.errors > 0 || report.wrong_answers > 0 || report.local_only_payloads_sent > 0)
      process.exitCode = 1;
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

function note(message: string): void {
  process.stderr.write(`demo: ${message}\n`);
}
