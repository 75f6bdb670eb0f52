import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { jobId } from './design.ts';
import type { JobRecord } from './records.ts';
import type { Assignment } from './run-job.ts';

/** What a thread answers. */
export type JobAnswer = { readonly record: JobRecord } | { readonly error: string };

/** A thread that does one job at a time. */
export class JobThread {
  readonly #worker = new Worker(new URL('./job-worker.ts', import.meta.url));

  /** @throws Error that names the job when it fails. */
  async run(assignment: Assignment): Promise<JobRecord> {
    this.#worker.postMessage(assignment);
    // A thread that dies rejects this by its `error` event.
    const [answer] = (await once(this.#worker, 'message')) as [JobAnswer];
    if ('record' in answer) return answer.record;
    throw new Error(`${jobId(assignment.job)}: ${answer.error}`);
  }

  /** Ends the thread, in the middle of a job if it has one. May be called twice. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
