import type { Clock } from '@nearfar/core';
import { sleepBy } from '../sleep.ts';

/** The process's own time. A pending sleep does not keep the process alive. */
export const nodeClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  sleep: sleepBy((wake, delayMs) => {
    const timer = setTimeout(wake, delayMs).unref();
    return () => clearTimeout(timer);
  }),
};
