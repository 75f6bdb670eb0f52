import type { BatchRule } from '@nearfar/core';
import { P90_SCORE, type Profile, type ProfileTable, replicaOf } from '../profile-table.ts';

/** Normal score of the 10 % quantile: what has less time left is given up, as by a live worker. */
const LEAST_SCORE = -P90_SCORE;

/** The batch rule of each device class, as its profiles have it. */
export class BatchRules {
  readonly #profiles: ProfileTable;
  readonly #rules = new Map<string, BatchRule>();

  constructor(profiles: ProfileTable) {
    this.#profiles = profiles;
  }

  of(deviceClass: string): BatchRule {
    let rule = this.#rules.get(deviceClass);
    if (rule === undefined) {
      rule = createRule(this.#profiles.all.filter((profile) => profile.deviceClass === deviceClass));
      this.#rules.set(deviceClass, rule);
    }
    return rule;
  }
}

function createRule(profiles: readonly Profile[]): BatchRule {
  const byReplica = new Map(profiles.map((profile) => [replicaOf(profile.task, profile.variant), profile]));
  // Each variant has a largest batch of its own: a larger one would never end.
  const timeOf = (time: (profile: Profile, size: number) => number) => (replica: string, size: number) => {
    const profile = byReplica.get(replica);
    if (profile === undefined) return undefined;
    return size > profile.maxBatch ? Number.POSITIVE_INFINITY : time(profile, size);
  };
  return {
    maxBatch: Math.max(...profiles.map(({ maxBatch }) => maxBatch)),
    serviceMs: timeOf((profile, size) => profile.service(size).meanMs),
    leastServiceMs: timeOf((profile, size) => profile.timeMs(size, LEAST_SCORE)),
    tailMs: timeOf((profile, size) => profile.service(size).p99Ms),
  };
}
