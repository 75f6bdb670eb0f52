import { type Capacity, findCapacity } from './capacity.ts';
import type { Job } from './design.ts';
import type { JobRecord } from './records.ts';
import { runDay } from './run-day.ts';
import { runFleet } from './run-fleet.ts';
import { runOptimum } from './run-optimum.ts';
import { runPlace } from './run-place.ts';

/** A job with what it depends on: plain data, so that it can go to another thread. */
export interface Assignment {
  readonly job: Job;
  /** Of the job's mix and share of capable callers; of jobs with a point alone. */
  readonly capacity?: Capacity;
  readonly dataFolder?: string;
}

/** Does a job. The same assignment gives the same record. */
export async function runJob({ job, capacity, dataFolder }: Assignment): Promise<JobRecord> {
  switch (job.kind) {
    case 'capacity':
      return { job, capacity: await findCapacity(job) };
    case 'day':
      return runDay(job, dataFolder);
    default: {
      if (capacity === undefined) throw new RangeError('Expected the capacity that the load is a share of');
      const options = { perSecond: capacity.perSecond * job.point.load, dataFolder };
      if (job.kind === 'optimum') return runOptimum(job, options);
      return job.kind === 'place' ? runPlace(job, options) : runFleet(job, options);
    }
  }
}
