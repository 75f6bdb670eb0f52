import { writeFile } from 'node:fs/promises';
import type { Bench } from '../bench.ts';
import { fullDesign, quickDesign } from '../placement/design.ts';
import { metricsOf } from '../placement/metrics.ts';
import { runAll } from '../placement/run-all.ts';
import { renderTables } from '../placement/tables.ts';

const SEEDS = 5;

/** How near the mesh is to the clairvoyant optimum, and how far from other systems, over traces, loads and mixes. */
export const placement: Bench = {
  name: 'placement',
  description: 'The mesh against the clairvoyant optimum and other systems, over traces, loads and mixes',
  async run({ seed, say, programs, quick = false, seeds = SEEDS, resultsFile, threads, onProgress }) {
    const dataFolder = programs?.dataFolder;
    const design = quick
      ? quickDesign(seed)
      : fullDesign(Array.from({ length: seeds }, (_, index) => seed + index));
    const records = await runAll(design, {
      ...(resultsFile !== undefined && { resultsFile }),
      ...(dataFolder !== undefined && { dataFolder }),
      ...(threads !== undefined && { threads }),
      ...(onProgress !== undefined && { onProgress }),
    });
    if (resultsFile !== undefined) {
      await writeFile(`${resultsFile}.md`, renderTables(records));
      say(`Tables: ${resultsFile}.md`);
    }
    return metricsOf(records);
  },
};
