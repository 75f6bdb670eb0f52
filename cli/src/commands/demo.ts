import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createToken } from '@nearfar/coordinator';
import { loadSecret } from '@nearfar/coordinator/node';
import { startChildMesh } from '../child-process.ts';
import { countRemoteRequests } from '../demo/accounts.ts';
import { countWrong, createPoolCost } from '../demo/check-answers.ts';
import { loadInputs } from '../demo/inputs.ts';
import { createMeshReader, waitUntilReady } from '../demo/mesh-reader.ts';
import { FAR_ROUND_TRIP_MS, openCallingPage, startBrowser } from '../demo/page-callers.ts';
import { createReport, formatReport } from '../demo/report.ts';
import { runCallers } from '../demo/run-callers.ts';
import { startWanProxy } from '../demo/wan-proxy.ts';
import { pagesDirectory } from '../places.ts';
import { startProgress } from '../progress.ts';

interface DemoOptions {
  readonly seconds: number;
  readonly data?: string;
  readonly json?: boolean;
}

const TOKEN_SECONDS = 3600;
const FAILURES_SHOWN = 5;
/** The page whose payloads may not leave calls under a name of its own, so that the mesh's books can be checked. */
const LOCAL_SUBJECT = 'demo-local-page';

/** `nearfar demo`: a whole mesh on this machine, real callers against it, and a table of what happened. */
export async function demo(options: DemoOptions): Promise<void> {
  const inputs = await loadInputs(options.data);
  if (pagesDirectory() === undefined) throw new Error('needs the built pages; run "npm run build:web"');
  const stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-demo-'));
  const closers: (() => Promise<unknown>)[] = [() => rm(stateDirectory, { recursive: true, force: true })];
  try {
    note('starting the mesh: coordinator with its edge, and one pool worker, each a process of its own');
    const mesh = await startChildMesh({ stateDirectory, poolWorkers: 1 });
    closers.push(() => mesh.stop());
    const secret = await loadSecret(stateDirectory);
    const tokenFor = (subject: string) =>
      createToken(secret, { role: 'client', subject, expiresInSeconds: TOKEN_SECONDS });
    const token = await tokenFor('demo');
    const reader = createMeshReader(mesh.url, token);
    await waitUntilReady(reader, 2);

    note(`starting a browser with pages next to the mesh and behind ${FAR_ROUND_TRIP_MS} ms`);
    const far = await startWanProxy(mesh.url, FAR_ROUND_TRIP_MS);
    closers.push(() => far.close());
    const browser = await startBrowser();
    closers.push(() => browser.close());
    const tasks = inputs.tasks.map((entry) => entry.task);
    const farPage = await openCallingPage(browser, far.url, token, tasks);
    const localPage = await openCallingPage(browser, far.url, await tokenFor(LOCAL_SUBJECT), tasks);
    const nearPage = await openCallingPage(browser, mesh.url, token, tasks);

    const progress = startProgress(options.seconds);
    const results = await runCallers({
      ...reader,
      inputs,
      seconds: options.seconds,
      farPage,
      localPage,
      nearPage,
    }).finally(() => progress.stop());
    const answers = results.filter((result) => result.status === 'answered');
    for (const result of results.filter(({ status }) => status === 'failed').slice(0, FAILURES_SHOWN)) {
      if (result.status === 'failed')
        note(`${result.call.kind.name} failed: ${result.message} (${result.code})`);
    }
    note('running every answered picture again, alone, to check the answers');
    const report = createReport(results, {
      wrongAnswers: await countWrong(reader, answers),
      // The browser's network log sees what was sent, the mesh's books see what arrived.
      localOnlyPayloadsSent: Math.max(
        localPage.payloadsSent,
        await countRemoteRequests(stateDirectory, LOCAL_SUBJECT),
      ),
      poolCostUsd: await createPoolCost(reader),
      inputs: inputs.source,
      device: farPage.device,
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
