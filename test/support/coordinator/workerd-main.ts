import type { Coordinator } from '@nearfar/coordinator';
import { createWorkerdCoordinator } from '@nearfar/coordinator/workerd';
import { SAMPLE_PRICES, sampleTask } from './sample-task.ts';

let coordinator: Promise<Coordinator> | undefined;

// biome-ignore lint/style/noDefaultExport: workerd serves what is exported by default
export default {
  fetch: async (request: Request): Promise<Response> => {
    // Not in the global scope, where workerd allows no chance and no timers.
    coordinator ??= createWorkerdCoordinator({
      tasks: [sampleTask()],
      prices: SAMPLE_PRICES,
      secret: new Uint8Array(32).fill(7),
    });
    return (await coordinator).app.fetch(request);
  },
};
