import { parse } from 'valibot';
import { describe, expect, test } from 'vitest';
import { checkMachines } from '../../../bench/src/scenario/check-machines.ts';
import type { ScenarioMachine } from '../../../bench/src/scenario/scenario.ts';
import { scenarioSchema } from '../../../bench/src/scenario/schema.ts';
import { simulate } from '../../../bench/src/simulator/simulate.ts';
import { fleetClass, scenario, scenarioTask, sendAll } from './simulation.ts';

/** When requests that come at these times end, each on a worker of its own; a run takes 10 ms alone. */
function endsOf(at: readonly number[], machine: ScenarioMachine | undefined): number[] {
  const ends: number[] = [];
  const shared = machine === undefined ? {} : { machine: machine.name };
  const setUp = scenario({
    tasks: [scenarioTask({ at, sloMs: 1_000 })],
    fleet: [fleetClass({ count: at.length, ...shared })],
    ...(machine !== undefined && { machines: [machine] }),
  });
  const policy = sendAll({
    arrive: (request, world) => {
      const worker = world.workers[request.index];
      if (worker === undefined) world.refuse(request);
      else world.dispatch(request, worker, 'small');
    },
  });
  simulate(setUp, policy, {
    onEnded: ({ index, arrivalMs }, { latencyMs }) => {
      ends[index] = Number((arrivalMs + latencyMs).toFixed(6));
    },
  });
  return ends;
}

const machine = (...slowdown: number[]): ScenarioMachine => ({ name: 'm', slowdown });

describe('a machine that workers share', () => {
  test.each([
    { name: 'no machine: each as if alone', at: [0, 0], on: undefined, ends: [10, 10] },
    { name: 'room for both: each as if alone', at: [0, 0], on: machine(1, 1), ends: [10, 10] },
    { name: 'one core: both take twice as long', at: [0, 0], on: machine(1, 2), ends: [20, 20] },
    { name: 'the first is alone for half of its work', at: [0, 5], on: machine(1, 2), ends: [15, 20] },
    { name: 'one after the other: as if alone', at: [0, 10], on: machine(1, 2), ends: [10, 20] },
    { name: 'beyond the curve in proportion', at: [0, 0, 0, 0], on: machine(1, 1), ends: [20, 20, 20, 20] },
    { name: 'slower even alone', at: [0], on: machine(1.5), ends: [15] },
  ])('$name', ({ at, on, ends }) => {
    expect(endsOf(at, on)).toEqual(ends);
  });

  test('busy time and its cost are what it really took', () => {
    const setUp = scenario({
      tasks: [scenarioTask({ at: [0, 0] })],
      fleet: [fleetClass({ count: 2, machine: 'm' })],
      machines: [machine(1, 2)],
    });
    let turn = 0;
    const policy = sendAll({
      arrive: (request, world) => {
        const worker = world.workers[turn];
        turn += 1;
        if (worker !== undefined) world.dispatch(request, worker, 'small');
      },
    });
    // Twice 20 ms at a microdollar each.
    expect(simulate(setUp, policy).cost_parts_usd.busy).toBeCloseTo(40e-6, 9);
  });
});

describe('machines of a scenario file', () => {
  const content = {
    seed: 1,
    tasks: [{ task: 'a', sloMs: 50, trace: { format: 'gamma', perSecond: 1, seconds: 1 } }],
    profiles: 'profiles.csv',
    fleet: [{ deviceClass: 'cpu', tier: 'edge', count: 1, usdPerHour: 1, machine: 'm' }],
    machines: [{ name: 'm', slowdown: [1, 1.5] }],
  };
  const check = (over: Readonly<Record<string, unknown>>) =>
    checkMachines('scenario.json', parse(scenarioSchema, { ...content, ...over }));

  test('pass where everything is named once and no curve falls', () => {
    expect(() => check({})).not.toThrow();
  });

  test.each([
    [{ machines: [] }, 'fleet.0.machine', '(none), found "m"'],
    [{ machines: [{ name: 'm', slowdown: [1, 2, 1.5] }] }, 'machines.0.slowdown.2', 'at least 2'],
    [{ machines: [1, 2].map(() => ({ name: 'm', slowdown: [1] })) }, 'machines.1.name', 'there twice'],
    [
      { browsers: { deviceClasses: [{ deviceClass: 'page', share: 1, machine: 'other' }] } },
      'browsers.deviceClasses.0.machine',
      'found "other"',
    ],
  ])('%j is refused at %s', (over, field, message) => {
    expect(() => check(over)).toThrow(expect.objectContaining({ message: expect.stringContaining(message) }));
    expect(() => check(over)).toThrow(expect.objectContaining({ message: expect.stringContaining(field) }));
  });
});
