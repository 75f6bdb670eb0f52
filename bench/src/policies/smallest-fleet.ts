import type { FleetClass, Scenario } from '../scenario/scenario.ts';
import type { PolicyFactory } from '../simulator/policy.ts';

/** Runs a policy on a scenario and gives the share of all requests that were answered in time, 0 to 1. */
export type AttainmentOf = (scenario: Scenario, policy: PolicyFactory) => number | Promise<number>;

/** Where a search for the smallest fleet looks. */
export interface SmallestFleetOptions {
  /** Attainment to be reached (default 0.99). */
  readonly target?: number;
  /** Device classes that may be used; the others get no worker. Default: all of the scenario. */
  readonly deviceClasses?: readonly string[];
  /** Workers of a class that are tried at most (default 4,096). */
  readonly mostOfClass?: number;
}

/** A static fleet with what it reaches. */
export interface StaticFleet {
  readonly scenario: Scenario;
  /** Workers, by device class. */
  readonly counts: Readonly<Record<string, number>>;
  readonly attainment: number;
  readonly usdPerHour: number;
}

/**
 * The smallest static fleet with which a policy that does not scale reaches a target: what a person would provision who
 * knows the whole load beforehand, which is generous to the policy. Undefined where even the largest fleet misses it.
 *
 * Tried are each class alone and all together. From a fleet that is enough, doubled from one of each class until it is, the
 * classes are cut one after another to the fewest workers that still suffice, by bisection; once with the dearest class first
 * and once with the cheapest. The cheapest of all fleets is taken. So no single worker can be left out, if attainment rises
 * with every worker; fleets that trade a worker of one class for several of another are not searched further.
 * `scenario` may be elastic: its counts are replaced.
 */
export async function smallestStaticFleet(
  policy: PolicyFactory,
  scenario: Scenario,
  attainmentOf: AttainmentOf,
  { target = 0.99, deviceClasses, mostOfClass = 4_096 }: SmallestFleetOptions = {},
): Promise<StaticFleet | undefined> {
  const classes = scenario.fleet.filter(
    ({ deviceClass }) => deviceClasses === undefined || deviceClasses.includes(deviceClass),
  );
  if (classes.length === 0)
    throw new RangeError('Expected at least one device class of the scenario to be allowed');
  const measured = new Map<string, number>();
  const measure = async (counts: Counts): Promise<number> => {
    const key = JSON.stringify(classes.map(({ deviceClass }) => counts[deviceClass] ?? 0));
    const known = measured.get(key);
    if (known !== undefined) return known;
    const isEmpty = classes.every(({ deviceClass }) => (counts[deviceClass] ?? 0) === 0);
    const attainment = isEmpty ? 0 : await attainmentOf(withStaticFleet(scenario, counts), policy);
    measured.set(key, attainment);
    return attainment;
  };
  let best: StaticFleet | undefined;
  const keep = async (counts: Counts): Promise<void> => {
    const usdPerHour = classes.reduce(
      (sum, fleetClass) => sum + fleetClass.usdPerHour * (counts[fleetClass.deviceClass] ?? 0),
      0,
    );
    if (best !== undefined && best.usdPerHour <= usdPerHour) return;
    const attainment = await measure(counts);
    best = { scenario: withStaticFleet(scenario, counts), counts, attainment, usdPerHour };
  };
  const dearFirst = classes.toSorted((a, b) => b.usdPerHour - a.usdPerHour);
  const orders = [...classes.map((alone) => [alone]), dearFirst, dearFirst.toReversed()];
  // With one class all orders are the same.
  for (const order of classes.length === 1 ? [classes] : orders) {
    const isEnough = async (counts: Counts) => (await measure(counts)) >= target;
    const counts = await smallestOf(order, mostOfClass, isEnough);
    if (counts !== undefined) await keep({ ...allOf(classes, 0), ...counts });
  }
  return best;
}

/** The fewest workers of each class in turn, from as many of each as are enough together. */
async function smallestOf(
  order: readonly FleetClass[],
  mostOfClass: number,
  isEnough: (counts: Counts) => Promise<boolean>,
): Promise<Counts | undefined> {
  let each = 1;
  while (!(await isEnough(allOf(order, each)))) {
    if (each >= mostOfClass) return undefined;
    each = Math.min(mostOfClass, each * 2);
  }
  let counts = allOf(order, each);
  for (const { deviceClass } of order) {
    let enough = each;
    let tooFew = -1;
    while (enough - tooFew > 1) {
      const middle = Math.floor((enough + tooFew) / 2);
      if (await isEnough({ ...counts, [deviceClass]: middle })) enough = middle;
      else tooFew = middle;
    }
    counts = { ...counts, [deviceClass]: enough };
  }
  return counts;
}

type Counts = Readonly<Record<string, number>>;

/** The scenario with these workers from start to end; classes that are not named have none and leave the fleet. */
export function withStaticFleet(scenario: Scenario, counts: Counts): Scenario {
  const fleet = scenario.fleet.flatMap((fleetClass) => {
    const count = counts[fleetClass.deviceClass] ?? 0;
    return count > 0 ? [{ ...fleetClass, count, min: count, max: count }] : [];
  });
  return { ...scenario, fleet };
}

function allOf(classes: readonly FleetClass[], count: number): Counts {
  return Object.fromEntries(classes.map(({ deviceClass }) => [deviceClass, count]));
}
