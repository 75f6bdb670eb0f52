import { parentPort } from 'node:worker_threads';
import type { JobAnswer } from './job-thread.ts';
import { type Assignment, runJob } from './run-job.ts';

/* The thread's side of `JobThread`: an assignment in, an answer out. */

const port = parentPort;
if (port === null) throw new Error('Expected to be started as a thread');
port.on('message', (assignment: Assignment) => {
  runJob(assignment).then(
    (record) => port.postMessage({ record } satisfies JobAnswer),
    (error: unknown) =>
      port.postMessage({ error: error instanceof Error ? error.message : String(error) } satisfies JobAnswer),
  );
});
