import { badScenario } from './bad-scenario.ts';
import type { ScenarioFile } from './schema.ts';

/** Machines have names of their own and curves that do not fall, and who computes on one names it. */
export function checkMachines(file: string, { machines = [], fleet, browsers }: ScenarioFile): void {
  const names = machines.map(({ name }) => name);
  for (const [index, { name, slowdown }] of machines.entries()) {
    if (names.indexOf(name) < index) {
      throw badScenario({ file, field: `machines.${index}.name` }, `The machine "${name}" is there twice`);
    }
    const falling = slowdown.findIndex((factor, at) => at > 0 && factor < (slowdown[at - 1] ?? 1));
    if (falling !== -1) {
      throw badScenario(
        { file, field: `machines.${index}.slowdown.${falling}` },
        `Expected at least ${slowdown[falling - 1]}, the factor before, found ${slowdown[falling]}`,
      );
    }
  }
  const users = [
    ...fleet.map((entry, index) => ({ ...entry, field: `fleet.${index}.machine` })),
    ...browsers.deviceClasses.map((entry, index) => ({
      ...entry,
      field: `browsers.deviceClasses.${index}.machine`,
    })),
  ];
  for (const { machine, field } of users) {
    if (machine === undefined || names.includes(machine)) continue;
    const known = names.length === 0 ? 'none' : names.join(', ');
    throw badScenario({ file, field }, `Expected one of the machines (${known}), found "${machine}"`);
  }
}
