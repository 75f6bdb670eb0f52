import type { Profile } from '../profile-table.ts';
import { createUniform, STREAMS } from '../random.ts';
import { batchMs, type Instance, type InstanceClass, type InstanceRequest, mayServe } from './known-run.ts';
import { placed, type Served, withoutPrivate } from './list-schedule.ts';

/** Rounds of the search a request, at least and at most. */
const ROUNDS_PER_REQUEST = 10;
const LEAST_ROUNDS = 300;
const MOST_ROUNDS = 10_000;
/** Each round copies the lists of batches, so that rounds times requests is what it takes. */
const MOST_WORK = 10_000_000;
/** Beyond this many requests it takes too long. */
const MOST_REQUESTS = 50_000;
/** Workers whose batches a round takes out. */
const RUINED_WORKERS = 3;
/** Requests that a round takes out, but for the rest of a batch. */
const MOST_OUT = 32;
/** Missed requests that a round tries to place. */
const MOST_MISSED = 12;

interface Batch {
  readonly profile: Profile;
  readonly members: readonly InstanceRequest[];
  /** When all members are there, and when the first of them has to be done. */
  readonly fromMs: number;
  readonly untilMs: number;
  readonly timeMs: number;
  readonly startMs: number;
}

interface Worker {
  readonly spec: InstanceClass;
  readonly profiles: readonly Profile[];
  batches: readonly Batch[];
}

/** A place for a request: a batch to put in at a position, in the stead of the one there when it joins that. */
interface Place {
  readonly worker: Worker;
  readonly position: number;
  readonly isJoin: boolean;
  readonly batch: Batch;
  readonly usd: number;
}

/**
 * A schedule that can be carried out, searched for by ruin and recreate (Schrimpf et al., "Record breaking optimization results
 * using the ruin and recreate principle", Journal of Computational Physics 159, 2000). Requests are put in one after another
 * where they add the least cost and leave all others on time, alone or in a batch that is there; then, again and again, the
 * batches of a few workers around one moment are taken out and their members put back in another order, which stays when more
 * are on time, or as many for less. What a caller's device can do in time it does. Returns batches as `listSchedule`
 * does; none of more than 50,000 requests.
 */
export function searchedSchedule(instance: Instance, seed = 1): Served[] {
  if (instance.requests.length > MOST_REQUESTS) return [];
  const served: Served[] = [];
  const rest = withoutPrivate(instance.requests, served).sort((a, b) => a.releaseMs - b.releaseMs);
  const workers = instance.classes.flatMap((spec) =>
    Array.from({ length: spec.count }, (): Worker => ({ spec, profiles: placed(spec), batches: [] })),
  );
  const missed = new Set(rest.filter((request) => insert(workers, request) === undefined));
  search(workers, rest, missed, createUniform(seed, STREAMS.policy));
  for (const { spec, batches } of workers) {
    for (const batch of batches) served.push({ requests: batch.members.length, usd: costOf(batch, spec) });
  }
  return served;
}

function search(
  workers: readonly Worker[],
  rest: readonly InstanceRequest[],
  missed: Set<InstanceRequest>,
  random: () => number,
): void {
  const wanted = Math.max(LEAST_ROUNDS, ROUNDS_PER_REQUEST * rest.length);
  const rounds = Math.min(MOST_ROUNDS, wanted, Math.floor(MOST_WORK / rest.length));
  for (let round = 0; round < rounds; round += 1) {
    const around = rest[Math.floor(random() * rest.length)];
    if (around === undefined) return;
    const budgetMs = around.dueMs - around.releaseMs;
    const reachMs = budgetMs * random();
    const before = workers.map(({ batches }) => batches);
    const out: InstanceRequest[] = [];
    let addedUsd = 0;
    for (let turn = 0; turn < RUINED_WORKERS; turn += 1) {
      const worker = workers[Math.floor(random() * workers.length)];
      if (worker !== undefined) {
        addedUsd -= takeOut(worker, around.releaseMs - reachMs, around.dueMs + reachMs, out);
      }
    }
    const late = [...missed]
      .filter(({ releaseMs }) => Math.abs(releaseMs - around.releaseMs) <= 2 * budgetMs)
      .slice(0, MOST_MISSED);
    const order = [...out, ...late];
    shuffle(order, random);
    if (random() < 0.5) order.sort((a, b) => a.dueMs - b.dueMs);
    const failed: InstanceRequest[] = [];
    for (const request of order) {
      const usd = insert(workers, request);
      if (usd === undefined) failed.push(request);
      else addedUsd += usd;
    }
    if (failed.length < late.length || (failed.length === late.length && addedUsd < 0)) {
      for (const request of late) missed.delete(request);
      for (const request of failed) missed.add(request);
    } else {
      for (const [index, worker] of workers.entries()) worker.batches = before[index] ?? [];
    }
  }
}

/** Takes out the batches that run within a time, their members into `out`; returns what they cost. */
function takeOut(worker: Worker, fromMs: number, untilMs: number, out: InstanceRequest[]): number {
  const { batches, spec } = worker;
  const first = firstEndingAfter(batches, fromMs);
  let next = first;
  let usd = 0;
  for (
    let batch = batches[next];
    batch !== undefined && batch.startMs < untilMs && out.length < MOST_OUT;
    batch = batches[next]
  ) {
    out.push(...batch.members);
    usd += costOf(batch, spec);
    next += 1;
  }
  if (next > first) worker.batches = started(batches.slice(0, first), batches.slice(next));
  return usd;
}

/** Puts a request where it adds the least cost; returns that, undefined where it cannot be on time. */
function insert(workers: readonly Worker[], request: InstanceRequest): number | undefined {
  let best: Place | undefined;
  for (const worker of workers) {
    const { batches, spec, profiles } = worker;
    const first = firstEndingAfter(batches, request.releaseMs);
    for (let position = first; ; position += 1) {
      const there = batches[position];
      if (endOf(batches[position - 1]) >= request.dueMs) break;
      if (
        there !== undefined &&
        there.members.length < there.profile.maxBatch &&
        mayServe(there.profile, request)
      ) {
        const batch = batchOf(there.profile, [...there.members, request]);
        const usd = costOf(batch, spec) - costOf(there, spec);
        if ((best === undefined || usd < best.usd) && fits(batches, position, batch, position + 1)) {
          best = { worker, position, isJoin: true, batch, usd };
        }
      }
      for (const profile of profiles) {
        if (!mayServe(profile, request)) continue;
        const batch = batchOf(profile, [request]);
        const usd = costOf(batch, spec);
        if ((best === undefined || usd < best.usd) && fits(batches, position, batch, position)) {
          best = { worker, position, isJoin: false, batch, usd };
        }
      }
      if (there === undefined) break;
    }
  }
  if (best === undefined) return undefined;
  const { worker, position, isJoin, batch, usd } = best;
  worker.batches = started(worker.batches.slice(0, position), [
    batch,
    ...worker.batches.slice(position + (isJoin ? 1 : 0)),
  ]);
  return usd;
}

/** Whether a batch after those before `position` leaves it and all from `next` on in time. */
function fits(batches: readonly Batch[], position: number, batch: Batch, next: number): boolean {
  let endMs = Math.max(endOf(batches[position - 1]), batch.fromMs) + batch.timeMs;
  if (endMs > batch.untilMs) return false;
  for (let index = next; index < batches.length; index += 1) {
    const later = batches[index] as Batch;
    const startMs = Math.max(endMs, later.fromMs);
    if (startMs <= later.startMs) return true;
    endMs = startMs + later.timeMs;
    if (endMs > later.untilMs) return false;
  }
  return true;
}

/** Adds batches to those that have their starts, each as early as possible. */
function started(kept: Batch[], added: readonly Batch[]): Batch[] {
  for (const batch of added) {
    const startMs = Math.max(endOf(kept.at(-1)), batch.fromMs);
    kept.push(startMs === batch.startMs ? batch : { ...batch, startMs });
  }
  return kept;
}

function batchOf(profile: Profile, members: readonly InstanceRequest[]): Batch {
  let fromMs = Number.NEGATIVE_INFINITY;
  let untilMs = Number.POSITIVE_INFINITY;
  for (const { releaseMs, dueMs } of members) {
    fromMs = Math.max(fromMs, releaseMs);
    untilMs = Math.min(untilMs, dueMs);
  }
  return { profile, members, fromMs, untilMs, timeMs: batchMs(profile, members), startMs: fromMs };
}

function endOf(batch: Batch | undefined): number {
  return batch === undefined ? Number.NEGATIVE_INFINITY : batch.startMs + batch.timeMs;
}

function costOf({ timeMs, members }: Batch, { usdPerMs }: InstanceClass): number {
  let usd = timeMs * usdPerMs;
  for (const { remoteUsd } of members) usd += remoteUsd;
  return usd;
}

/** Position of the first batch that ends after a time; batches end in their order. */
function firstEndingAfter(batches: readonly Batch[], timeMs: number): number {
  let low = 0;
  let high = batches.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (endOf(batches[middle]) > timeMs) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Fisher and Yates's. */
function shuffle<Entry>(entries: Entry[], random: () => number): void {
  for (let index = entries.length - 1; index > 0; index -= 1) {
    const other = Math.floor(random() * (index + 1));
    [entries[index], entries[other]] = [entries[other] as Entry, entries[index] as Entry];
  }
}
