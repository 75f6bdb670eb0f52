import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createToken } from '@nearfar/coordinator';
import { startChildMesh } from '../child-process.ts';
import { countRemoteRequests } from '../demo/accounts.ts';
import { countWrong, createPoolCost } from '../demo/check-answers.ts';
import { type DemoInputs, loadInputs } from '../demo/inputs.ts';
import { createMeshReader, waitUntilReady } from '../demo/mesh-reader.ts';
import { FAR_ROUND_TRIP_MS, openCallingPage, startBrowser } from '../demo/page-callers.ts';
import { createReport, type DemoReport, formatReport } from '../demo/report.ts';
import { Resources } from '../demo/resources.ts';
import { runCallers } from '../demo/run-callers.ts';
import { startWanProxy } from '../demo/wan-proxy.ts';
import { ExitError } from '../exit-error.ts';
import { readSecret } from '../local-secret.ts';
import { pagesDirectory } from '../places.ts';
import { startProgress } from '../progress.ts';
import { stopSignal } from '../stop-signal.ts';

interface DemoOptions {
  readonly seconds: number;
  readonly data?: string;
  readonly json?: boolean;
}

/** As a shell says it of a program that Ctrl-C ended: 128 + SIGINT. */
const STOPPED_EXIT_CODE = 130;
const TOKEN_SECONDS = 3600;
const FAILURES_SHOWN = 5;
/** The page whose payloads may not leave calls under a name of its own, so that the mesh's books can be checked. */
const LOCAL_SUBJECT = 'demo-local-page';

/**
 * `nearfar demo`: a whole mesh on this machine, real callers against it, and a table of what happened.
 *
 * @throws ExitError 130 when a signal stopped it, Error when an answer was wrong or missing; nothing is left behind.
 */
export async function demo(options: DemoOptions): Promise<void> {
  const inputs = await loadInputs(options.data);
  if (pagesDirectory() === undefined) throw new Error('needs the built pages; run "npm run build:web"');
  const stopping = new AbortController();
  const stopped = stopSignal().then((name) => {
    const end = new ExitError(STOPPED_EXIT_CODE, `stopped by ${name}`);
    stopping.abort(end);
    throw end;
  });
  const resources = new Resources(stopping.signal);
  let report: DemoReport;
  try {
    report = await Promise.race([play(inputs, options.seconds, resources, stopping.signal), stopped]);
  } finally {
    await resources.close();
  }
  process.stdout.write(`${options.json ? JSON.stringify(report) : formatReport(report)}\n`);
  const { errors, wrong_answers, local_only_payloads_sent } = report;
  if (errors + wrong_answers + local_only_payloads_sent > 0) {
    throw new Error(
      `Expected only right answers; got ${errors} errors, ${wrong_answers} wrong answers and ${local_only_payloads_sent} local_only payloads sent`,
    );
  }
}

async function play(
  inputs: DemoInputs,
  seconds: number,
  resources: Resources,
  signal: AbortSignal,
): Promise<DemoReport> {
  const stateDirectory = await resources.open(
    () => mkdtemp(join(tmpdir(), 'nearfar-demo-')),
    (directory) => rm(directory, { recursive: true, force: true }),
  );
  note('starting the mesh: coordinator with its edge, and one pool worker, each a process of its own');
  const mesh = await resources.open(
    () => startChildMesh({ stateDirectory, poolWorkers: 1, signal }),
    (child) => child.stop(),
  );
  const secret = await readSecret(stateDirectory);
  const tokenFor = (subject: string) =>
    createToken(secret, { role: 'client', subject, expiresInSeconds: TOKEN_SECONDS });
  const token = await tokenFor('demo');
  const reader = createMeshReader(mesh.url, token);
  await waitUntilReady(reader, 2);

  note(`starting a browser with pages next to the mesh and behind ${FAR_ROUND_TRIP_MS} ms`);
  const far = await resources.open(
    () => startWanProxy(mesh.url, FAR_ROUND_TRIP_MS),
    (proxy) => proxy.close(),
  );
  const browser = await resources.open(startBrowser, (opened) => opened.close());
  const tasks = inputs.tasks.map((entry) => entry.task);
  const farPage = await openCallingPage(browser, far.url, token, tasks);
  const localPage = await openCallingPage(browser, far.url, await tokenFor(LOCAL_SUBJECT), tasks);
  const nearPage = await openCallingPage(browser, mesh.url, token, tasks);

  const progress = startProgress(seconds);
  const stage = { ...reader, inputs, seconds, farPage, localPage, nearPage, signal };
  const results = await runCallers(stage).finally(() => progress.stop());
  const answers = results.filter((result) => result.status === 'answered');
  for (const result of results.filter(({ status }) => status === 'failed').slice(0, FAILURES_SHOWN)) {
    if (result.status === 'failed')
      note(`${result.call.kind.name} failed: ${result.message} (${result.code})`);
  }
  note('running every answered picture again, alone, to check the answers');
  return createReport(results, {
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
}

function note(message: string): void {
  process.stderr.write(`demo: ${message}\n`);
}
