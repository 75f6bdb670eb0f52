import type { Highs } from './solver.ts';

/*
 * Proteus's resource allocation (Ahmad et al., ASPLOS'24; UMass-LIDS/Proteus, algorithms/ilp.py): which variant each device
 * holds and which part of each demand goes where, so that the demand is met with the highest accuracy. The released program
 * has a binary variable for each device and variant and products of two variables; devices of a class are alike, so here an
 * integer counts them and a rate takes the place of the product. That has the same optima and no symmetry to search through.
 */

/** Demand that is planned for, as a multiple of what is expected [C: configs, beta]. */
const DEMAND_HEADROOM = 1.05;
/** Steps by which the demand is cut until there is a plan, and the least [C: ilp.py]. */
const DEMAND_STEP = 0.05;
const LEAST_DEMAND = 0.2;
/** Relative gap at which the solver stops [C: ilp.py, MIPGap]. */
const RELATIVE_GAP = 0.5;
/** Nodes of the search after which there is no plan for a part of the demand. Not a time, so that every machine finds the same. */
const MOST_NODES = 2_000;

/** A variant on a device class that may be used: accurate enough, and quick enough for one input. */
export interface ProteusOption {
  readonly task: string;
  readonly variant: string;
  readonly deviceClass: string;
  /** 0 to 1. */
  readonly accuracy: number;
  /** What one device serves with it: `⌊batch × 1,000 / latency⌋` at the largest batch that keeps to the SLO. */
  readonly peakPerSecond: number;
}

export interface ProteusProblem {
  readonly options: readonly ProteusOption[];
  /** By device class. */
  readonly devices: ReadonlyMap<string, number>;
  /** By task, expected requests a second. */
  readonly demand: ReadonlyMap<string, number>;
}

/** How many devices hold an option, and what it is to serve. */
export interface Allocation {
  readonly option: ProteusOption;
  readonly devices: number;
  readonly perSecond: number;
}

/**
 * Solves the allocation for ever smaller parts of the demand, from 1.05 times downwards in steps of 0.05, until it can be
 * met; below 0.2 there is none and the answer is undefined. Without demand nothing is allocated.
 */
export function allocate(
  solver: Pick<Highs, 'solve'>,
  problem: ProteusProblem,
): readonly Allocation[] | undefined {
  if ([...problem.demand.values()].every((rate) => rate <= 0)) return [];
  for (let step = 0; ; step += 1) {
    const part = DEMAND_HEADROOM - step * DEMAND_STEP;
    if (part <= LEAST_DEMAND) return undefined;
    const { Status, Columns } = solver.solve(formulate(problem, part), {
      mip_rel_gap: RELATIVE_GAP,
      mip_max_nodes: MOST_NODES,
      output_flag: false,
    });
    if (Status !== 'Optimal') continue;
    const primalOf = (name: string) => Columns[name]?.Primal ?? 0;
    return problem.options.map((option, index) => ({
      option,
      devices: Math.round(primalOf(`n${index}`)),
      perSecond: primalOf(`y${index}`),
    }));
  }
}

/**
 * The program as text in CPLEX's LP format: maximise Σ accuracy × rate, where each task's rates add up to `part` of its
 * demand, an option serves at most what its devices can, and devices add up to at most those of the class.
 */
export function formulate({ options, devices, demand }: ProteusProblem, part: number): string {
  const positions = options.map((_, index) => index);
  const sum = (terms: readonly string[]) => (terms.length > 0 ? terms.join(' + ') : '0 none');
  const objective = sum(options.map(({ accuracy }, index) => `${accuracy} y${index}`));
  const served = [...demand].flatMap(([task, rate], row) => {
    const own = positions.filter((index) => options[index]?.task === task);
    // A task that nothing may serve is refused; it does not keep the others from being planned.
    return own.length === 0 ? [] : [` d${row}: ${sum(own.map((index) => `y${index}`))} = ${rate * part}`];
  });
  const peaks = options.map(
    ({ peakPerSecond }, index) => ` p${index}: y${index} - ${peakPerSecond} n${index} <= 0`,
  );
  const counts = [...devices].flatMap(([deviceClass, count], row) => {
    const own = positions.filter((index) => options[index]?.deviceClass === deviceClass);
    return own.length === 0 ? [] : [` c${row}: ${sum(own.map((index) => `n${index}`))} <= ${count}`];
  });
  return [
    'Maximize',
    ` accuracy: ${objective}`,
    'Subject To',
    ...served,
    ...peaks,
    ...counts,
    'General',
    ` ${positions.map((index) => `n${index}`).join(' ')}`,
    'End',
    '',
  ].join('\n');
}

/** Expected requests a second: the mean of the last windows, each weighing `decay` times less than the one after it. */
export function expectedRate(ratesNewestFirst: readonly number[], decay: number): number {
  let weight = 1;
  let weights = 0;
  let sum = 0;
  for (const rate of ratesNewestFirst) {
    sum += weight * rate;
    weights += weight;
    weight /= decay;
  }
  return weights === 0 ? 0 : sum / weights;
}
