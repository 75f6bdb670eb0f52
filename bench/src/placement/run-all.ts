import { availableParallelism } from 'node:os';
import type { Capacity } from './capacity.ts';
import { capacityOf, type Design, type Job, jobId } from './design.ts';
import { JobThread } from './job-thread.ts';
import type { CapacityRecord, JobRecord } from './records.ts';
import { openResults } from './results-file.ts';
import { type Assignment, runJob } from './run-job.ts';

export interface RunOptions {
  /** Where finished jobs are kept and looked for; absent = nowhere. */
  readonly resultsFile?: string;
  readonly dataFolder?: string;
  /** Threads that work at the same time (default: as many as there are cores); 0 = in this thread. */
  readonly threads?: number;
  /** Told the share of the jobs that is done. */
  readonly onProgress?: (share: number) => void;
}

/**
 * Does all jobs of a design that the results file does not have yet, and gives the records of all: capacities first, since the
 * loads of the others are shares of them. A job that fails ends the run, with what was done kept.
 */
export async function runAll(design: Design, options: RunOptions = {}): Promise<readonly JobRecord[]> {
  const { dataFolder, threads = availableParallelism(), onProgress } = options;
  const results = openResults(options.resultsFile);
  const records = new Map<string, JobRecord>();
  const total = design.capacities.length + design.jobs.length;
  const helpers = Array.from({ length: threads }, () => new JobThread());
  const run = async (jobs: readonly Job[], assign: (job: Job) => Assignment): Promise<void> => {
    const left = jobs.filter((job) => {
      const known = results.done.get(jobId(job));
      if (known !== undefined) records.set(jobId(job), known);
      return known === undefined;
    });
    const work = async (perform: (assignment: Assignment) => Promise<JobRecord>): Promise<void> => {
      for (let job = left.shift(); job !== undefined; job = left.shift()) {
        const record = await perform(assign(job));
        records.set(jobId(job), record);
        results.append(jobId(job), record);
        onProgress?.(records.size / total);
      }
    };
    await Promise.all(
      helpers.length === 0 ? [work(runJob)] : helpers.map((helper) => work((given) => helper.run(given))),
    );
  };
  const data = dataFolder === undefined ? {} : { dataFolder };
  try {
    await run(design.capacities, (job) => ({ job, ...data }));
    const capacities = new Map<string, Capacity>();
    for (const job of design.capacities) {
      const record = records.get(jobId(job)) as CapacityRecord;
      capacities.set(`${job.mix} ${job.browserShare}`, record.capacity);
    }
    await run(design.jobs, (job) => {
      if (!('point' in job)) return { job, ...data };
      const { mix, browserShare } = capacityOf(job.point, 0);
      const capacity = capacities.get(`${mix} ${browserShare}`);
      return { job, ...data, ...(capacity !== undefined && { capacity }) };
    });
  } finally {
    await Promise.all(helpers.map((helper) => helper.close()));
  }
  return [...records.values()];
}
