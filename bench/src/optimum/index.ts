import { bound } from './bound.ts';
import type { Instance } from './known-run.ts';

export { instanceOf } from './known-run.ts';

/** What an optimum reaches and costs; `costUsd` counts workers as provisioned instead of their busy time. */
export interface Optimum {
  readonly attainment: number;
  readonly costUsd: number;
  readonly marginalCostUsd: number;
}

/** The least cost that any schedule with at least so many on time can have, and the highest attainment of any. */
export function boundOf(instance: Instance, atLeastOnTime?: number): Optimum {
  const { mostOnTime, marginalUsd } = bound(instance, atLeastOnTime);
  return {
    attainment: share(mostOnTime, instance),
    // The workers that are there in any case have to be paid, and so has each busy moment, since whoever is busy is there.
    costUsd: Math.max(instance.provisionedUsd, marginalUsd),
    marginalCostUsd: marginalUsd,
  };
}

function share(onTime: number, { requests }: Instance): number {
  return requests.length === 0 ? 1 : onTime / requests.length;
}
