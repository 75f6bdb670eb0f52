import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '@nearfar/core';

/** The process's own time. A pending sleep does not keep the process alive. */
export const nodeClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  sleep: async (delayMs, signal) => {
    try {
      await sleep(delayMs, undefined, {
        ref: false,
        ...(signal !== undefined && { signal: signal as AbortSignal }),
      });
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  },
};
