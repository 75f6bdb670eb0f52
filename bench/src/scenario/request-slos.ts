import { STREAMS, uniformAt } from '../random.ts';
import type { Arrival, ScenarioTask } from './scenario.ts';

/** Gives each arrival one of the SLOs by chance, in place of what its trace may name; without SLOs arrivals stay as they are. */
export function withSlos(
  arrivals: readonly Arrival[],
  slos: ScenarioTask['slos'],
  seed: number,
): readonly Arrival[] {
  if (slos === undefined) return arrivals;
  return arrivals.map(({ arrivalMs }, index) => {
    let left = uniformAt(seed, STREAMS.slo, index);
    const drawn = slos.find(({ share }) => {
      left -= share;
      return left < 0;
    });
    const sloMs = (drawn ?? slos.at(-1))?.sloMs;
    return { arrivalMs, ...(sloMs !== undefined && { sloMs }) };
  });
}
