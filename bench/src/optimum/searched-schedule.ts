import type { Profile } from '../profile-table.ts';
import { createUniform, STREAMS } from '../random.ts';
import { batchMs, type Instance, type InstanceClass, type InstanceRequest, mayServe } from './known-run.ts';
import { type StaffMember, staffOf } from './list-schedule.ts';
import { withoutPrivate } from './private-ways.ts';
import type { Served } from './schedule.ts';

/** Rounds of the search a request, at least and at most; `MOST_ROUNDS_IN_ALL` bounds those of all stretches. */
const ROUNDS_PER_REQUEST = 10;
const LEAST_ROUNDS = 300;
const MOST_ROUNDS = 10_000;
const MOST_ROUNDS_IN_ALL = 40_000;
/** Each round copies the lists of batches, so that rounds times requests is what it takes. */
const MOST_WORK = 10_000_000;
/** Requests of a stretch of time that is searched by itself, one after another. */
const STRETCH_REQUESTS = 5_000;
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

interface Worker extends StaffMember {
  /** When it has run all of the stretches before. */
  freeMs: number;
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
 * are on time, or as many for less. Of more than 5,000 requests each stretch of as many is searched by itself, after the one
 * before. What a caller's device can do in time it does, where an answer costs at most `mostPrivateUsd` (default: any).
 */
export function searchedSchedule(
  instance: Instance,
  {
    seed = 1,
    mostPrivateUsd,
  }: { readonly seed?: number; readonly mostPrivateUsd?: (task: string) => number } = {},
): Served[] {
  const served: Served[] = [];
  const rest = withoutPrivate(instance.requests, served, mostPrivateUsd).sort(
    (a, b) => a.releaseMs - b.releaseMs,
  );
  const workers = staffOf(instance).map(
    (entry): Worker => ({ ...entry, freeMs: Number.NEGATIVE_INFINITY, batches: [] }),
  );
  const random = createUniform(seed, STREAMS.policy);
  const stretches = Math.ceil(rest.length / STRETCH_REQUESTS);
  for (let stretch = 0; stretch < stretches; stretch += 1) {
    const own = rest.slice(stretch * STRETCH_REQUESTS, (stretch + 1) * STRETCH_REQUESTS);
    const missed = new Set(own.filter((request) => insert(workers, request) === undefined));
    search(workers, own, missed, { random, mostRounds: Math.ceil(MOST_ROUNDS_IN_ALL / stretches) });
    for (const worker of workers) {
      const { batches, place } = worker;
      for (const batch of batches) {
        const { profile, members, startMs } = batch;
        const usd = costOf(batch, worker.spec);
        served.push({
          kind: 'batch',
          place,
          profile,
          members,
          startMs,
          endMs: endOf(batch),
          requests: members.length,
          usd,
        });
      }
      worker.freeMs = Math.max(worker.freeMs, endOf(batches.at(-1)));
      worker.batches = [];
    }
  }
  return served;
}

function search(
  workers: readonly Worker[],
  rest: readonly InstanceRequest[],
  missed: Set<InstanceRequest>,
  { random, mostRounds }: { readonly random: () => number; readonly mostRounds: number },
): void {
  const wanted = Math.max(LEAST_ROUNDS, ROUNDS_PER_REQUEST * rest.length);
  const rounds = Math.min(MOST_ROUNDS, mostRounds, wanted, Math.floor(MOST_WORK / rest.length));
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
  const { batches, spec, freeMs } = worker;
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
  if (next > first) worker.batches = started(batches.slice(0, first), batches.slice(next), freeMs);
  return usd;
}

/** Puts a request where it adds the least cost; returns that, undefined where it cannot be on time. */
function insert(workers: readonly Worker[], request: InstanceRequest): number | undefined {
  let best: Place | undefined;
  for (const worker of workers) {
    const { batches, spec, profiles, freeMs } = worker;
    const first = firstEndingAfter(batches, request.releaseMs);
    for (let position = first; ; position += 1) {
      const there = batches[position];
      const beforeMs = endOf(batches[position - 1], freeMs);
      if (beforeMs >= request.dueMs) break;
      if (
        there !== undefined &&
        there.members.length < there.profile.maxBatch &&
        mayServe(there.profile, request)
      ) {
        const batch = batchOf(there.profile, [...there.members, request]);
        const usd = costOf(batch, spec) - costOf(there, spec);
        if ((best === undefined || usd < best.usd) && fits(batches, position + 1, batch, beforeMs)) {
          best = { worker, position, isJoin: true, batch, usd };
        }
      }
      for (const profile of profiles) {
        if (!mayServe(profile, request)) continue;
        const batch = batchOf(profile, [request]);
        const usd = costOf(batch, spec);
        if ((best === undefined || usd < best.usd) && fits(batches, position, batch, beforeMs)) {
          best = { worker, position, isJoin: false, batch, usd };
        }
      }
      if (there === undefined) break;
    }
  }
  if (best === undefined) return undefined;
  const { worker, position, isJoin, batch, usd } = best;
  const later = worker.batches.slice(position + (isJoin ? 1 : 0));
  worker.batches = started(worker.batches.slice(0, position), [batch, ...later], worker.freeMs);
  return usd;
}

/** Whether a batch that may begin at `beforeMs` leaves itself and all from `next` on in time. */
function fits(batches: readonly Batch[], next: number, batch: Batch, beforeMs: number): boolean {
  let endMs = Math.max(beforeMs, batch.fromMs) + batch.timeMs;
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

/** Adds batches to those that have their starts, each as early as possible and none before `freeMs`. */
function started(kept: Batch[], added: readonly Batch[], freeMs: number): Batch[] {
  for (const batch of added) {
    const startMs = Math.max(endOf(kept.at(-1), freeMs), batch.fromMs);
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

function endOf(batch: Batch | undefined, otherwiseMs = Number.NEGATIVE_INFINITY): number {
  return batch === undefined ? otherwiseMs : batch.startMs + batch.timeMs;
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
