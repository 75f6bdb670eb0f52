import type { Bench } from '../bench.ts';
import { measureDrift, widest } from '../drift/measure.ts';
import { runDrift } from '../drift/run.ts';

const RUNS = 5;
/** Requests under way at once in a crowd: so many are promised something before the first of them shows that it was wrong. */
const CROWD = 128;

/** Whether promised latencies hold while speeds, profiles and neighbours change: the widest over five seeds. */
export const calibration: Bench = {
  name: 'calibration',
  description: 'Coverage of the promised 95 and 99 % over a drift schedule, and the loss against an oracle',
  async run({ seed, say }) {
    const seeds = Array.from({ length: RUNS }, (_, index) => seed + index);
    const reports = seeds.map((own) => {
      const report = measureDrift(runDrift(own));
      say(`seed ${own}: quantile loss ${report.pinballRatio.toFixed(3)} × the oracle's`);
      return report;
    });
    const settled = widest(reports.map((report) => report.settled));
    const spanning = widest(reports.map((report) => report.spanning));
    const uncalibrated = measureDrift(runDrift(seed, { isCalibrated: false }));
    const crowded = widest(seeds.map((own) => measureDrift(runDrift(own, { inFlight: CROWD })).settled));
    const censored = measureDrift(runDrift(seed, { censoredShare: 0.1 }));
    return {
      coverage_95_min: settled.least95,
      coverage_95_max: settled.most95,
      coverage_99_min: settled.least99,
      coverage_99_max: settled.most99,
      pinball_ratio: Math.max(...reports.map(({ pinballRatio }) => pinballRatio)),
      recover_requests_max: Math.max(...reports.flatMap(({ recoverRequests }) => recoverRequests)),
      spanning_coverage_95_min: spanning.least95,
      spanning_coverage_95_max: spanning.most95,
      spanning_coverage_99_min: spanning.least99,
      spanning_coverage_99_max: spanning.most99,
      censored_coverage_95_min: censored.settled.least95,
      censored_coverage_95_max: censored.settled.most95,
      censored_coverage_99_min: censored.settled.least99,
      censored_coverage_99_max: censored.settled.most99,
      crowded_coverage_95_min: crowded.least95,
      crowded_coverage_99_min: crowded.least99,
      uncalibrated_coverage_95_min: uncalibrated.settled.least95,
      uncalibrated_pinball_ratio: uncalibrated.pinballRatio,
    };
  },
};
