import { onTimeProbability, type RequestSpec } from '@nearfar/core';
import type { Profile, ProfileTable } from '../../profile-table.ts';
import type { ScenarioCascade, ScenarioTask } from '../../scenario/scenario.ts';
import type { MeshCascades } from './cascades.ts';

/** What a page fetches of a task. */
export interface PageVariant {
  readonly profile: Profile;
  /** The cascade that it is the small stage of; undefined where it answers by itself. */
  readonly cascade: ScenarioCascade | undefined;
}

/** Which variant of a task the pages of a device class fetch: one, so that a visitor downloads little. */
export class PageVariants {
  readonly #profiles: ProfileTable;
  readonly #cascades: MeshCascades | undefined;
  readonly #found = new Map<string, PageVariant | undefined>();

  /** @param cascades undefined = a page answers by itself or not at all. */
  constructor(profiles: ProfileTable, cascades: MeshCascades | undefined) {
    this.#profiles = profiles;
    this.#cascades = cascades;
  }

  /**
   * Of the variants that are accurate and fast enough on the class the one with the fewest bytes; where there is none, of the
   * small stages of cascades. Undefined where a page of the class is no use.
   */
  of(deviceClass: string, task: ScenarioTask, spec: RequestSpec): PageVariant | undefined {
    const key = `${task.task}@${deviceClass}`;
    if (!this.#found.has(key)) this.#found.set(key, this.#find(deviceClass, task, spec));
    return this.#found.get(key);
  }

  #find(deviceClass: string, task: ScenarioTask, spec: RequestSpec): PageVariant | undefined {
    const fast = this.#profiles
      .ofClass(task.task, deviceClass)
      .filter((profile) => onTimeProbability(profile.moments(1), task.sloMs) >= spec.sloTarget)
      .sort((a, b) => a.weightBytes - b.weightBytes);
    const whole = fast.find(({ accuracy }) => accuracy >= task.minAccuracy);
    if (whole !== undefined) return { profile: whole, cascade: undefined };
    for (const profile of fast) {
      const cascade = this.#cascades?.of(task.task).find(({ small }) => small === profile.variant);
      if (cascade !== undefined) return { profile, cascade };
    }
    return undefined;
  }
}
