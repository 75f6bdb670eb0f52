import type { NearestFeasible } from '@nearfar/core';
import type { Device } from './device.ts';
import type { UnavailableVariant } from './types.ts';

/** The details of a refusal: what would have been feasible, and why this page lacks variants of `task`. */
export function refusalDetails(
  device: Pick<Device, 'unavailable'>,
  task: string,
  nearest: NearestFeasible,
): { readonly nearest: NearestFeasible; readonly unavailable?: readonly UnavailableVariant[] } {
  const unavailable = device.unavailable.filter((entry) => entry.task === task);
  return { nearest, ...(unavailable.length > 0 && { unavailable }) };
}
