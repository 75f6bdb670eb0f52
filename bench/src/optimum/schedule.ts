import type { Profile } from '../profile-table.ts';
import type { InstanceRequest } from './known-run.ts';

/** A worker, by its class's position in the instance and its number within the class. */
export interface WorkerPlace {
  readonly classIndex: number;
  readonly number: number;
}

/** A batch of a worker. It begins as soon as its worker has run the one before and all its members are there. */
export interface ScheduledBatch {
  readonly kind: 'batch';
  readonly place: WorkerPlace;
  readonly profile: Profile;
  readonly members: readonly InstanceRequest[];
  readonly startMs: number;
  readonly endMs: number;
  readonly requests: number;
  readonly usd: number;
}

/** A request that its caller's own device answers. */
interface PrivateRun {
  readonly kind: 'private';
  readonly request: InstanceRequest;
  readonly variant: string;
  readonly requests: 1;
  readonly usd: number;
}

/** A variant that a caller's device fetches, from the arrival of this request on. */
export interface Fetch {
  readonly kind: 'fetch';
  readonly request: InstanceRequest;
  readonly variant: string;
  readonly requests: 0;
  readonly usd: number;
}

/** A part of a schedule, with how many it answers in time and what that costs. */
export type Served = ScheduledBatch | PrivateRun | Fetch;

/** What a schedule reaches, and its busy time, egress, requests and energy. */
export interface Reached {
  readonly onTime: number;
  readonly marginalUsd: number;
}

/** What the parts of a schedule add up to. */
export function reachedBy(served: readonly Served[]): Reached {
  let onTime = 0;
  let marginalUsd = 0;
  for (const { requests, usd } of served) {
    onTime += requests;
    marginalUsd += usd;
  }
  return { onTime, marginalUsd };
}

/** Leaves the dearest parts undone as long as enough are on time without them, and what is then fetched for nothing. */
export function trimmed(served: readonly Served[], atLeastOnTime: number): readonly Served[] {
  let { onTime } = reachedBy(served);
  if (onTime <= atLeastOnTime) return served;
  const left = new Set(served);
  const dearest = served
    .filter(({ requests }) => requests > 0)
    .sort((a, b) => b.usd / b.requests - a.usd / a.requests);
  for (const part of dearest) {
    if (onTime - part.requests < atLeastOnTime) continue;
    onTime -= part.requests;
    left.delete(part);
  }
  const used = new Set<string>();
  for (const part of left) if (part.kind === 'private') used.add(deviceKey(part));
  return served.filter((part) => left.has(part) && (part.kind !== 'fetch' || used.has(deviceKey(part))));
}

function deviceKey({ request, variant }: PrivateRun | Fetch): string {
  return `${request.caller} ${request.task} ${variant}`;
}
