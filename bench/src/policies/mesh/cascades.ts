import { type CascadeFacts, EscalationBook } from '@nearfar/core';
import type { Scenario, ScenarioCascade } from '../../scenario/scenario.ts';
import { REVISION } from './option-builder.ts';

/** Inputs on which a cascade is taken to have been measured. */
const MEASURED_ON = 5_000;

/** The cascades of a scenario that are accurate enough for their tasks, with the share of requests that is seen to go on. */
export class MeshCascades {
  readonly #byTask: ReadonlyMap<string, readonly ScenarioCascade[]>;
  readonly #escalations = new EscalationBook();

  constructor(scenario: Scenario) {
    this.#byTask = new Map(
      scenario.tasks.map(({ task, minAccuracy, cascades = [] }) => [
        task,
        cascades.filter(({ accuracy }) => accuracy >= minAccuracy),
      ]),
    );
  }

  /** Of a task, in the order of the scenario. */
  of(task: string): readonly ScenarioCascade[] {
    return this.#byTask.get(task) ?? [];
  }

  /** A task's cascade by its name. */
  find(task: string, variant: string): ScenarioCascade | undefined {
    return this.of(task).find((cascade) => cascade.variant === variant);
  }

  /** Whether the variant is a stage of one of the task's cascades. */
  isStage(task: string, variant: string): boolean {
    return this.of(task).some(({ small, large }) => small === variant || large === variant);
  }

  /** The task's cascades as a decision weighs them. */
  facts(task: string): CascadeFacts[] {
    return this.of(task).map((cascade) => ({
      variant: cascade.variant,
      revision: REVISION,
      accuracy: cascade.accuracy,
      escalationRate: this.rate(task, cascade),
      isSmall: ({ variant }) => variant === cascade.small,
      isLarge: ({ variant }) => variant === cascade.large,
    }));
  }

  /** The share of requests that is expected to go on to the large stage. */
  rate(task: string, { variant, escalationRate }: ScenarioCascade): number {
    const prior = { value: escalationRate, sampleSize: MEASURED_ON };
    return this.#escalations.rate({ task, variant, revision: REVISION }, ALL_CALLERS, prior);
  }

  /** Takes in whether a request's small stage was sure. */
  observe(task: string, { variant }: ScenarioCascade, isEscalated: boolean): void {
    const seen = { escalated: isEscalated ? 1 : 0, inputs: 1 };
    this.#escalations.observe({ task, variant, revision: REVISION }, ALL_CALLERS, seen);
  }
}

/** Which requests go on does not depend on who asks, in the simulator. */
const ALL_CALLERS = 'all';
