import { createOrder } from './batch-order.ts';

/** What the batch rule needs to know of a waiting request. Times are on the worker's own monotonic clock, in ms. */
export interface Waiting {
  /** Variant and revision; only equal ones share a batch. */
  readonly replica: string;
  /** Other replicas that would do for it here, in the order of preference; absent = none. */
  readonly alternatives?: readonly string[];
  /** Inputs that it carries along the batch axis, from 1. */
  readonly size: number;
  /** Until when its answer is of use: a request that wants one late has a late deadline. */
  readonly deadlineAt: number;
  /** Lower is served first among requests of the same urgency class; 0 is the default, 1 the highest (Triton's rule). */
  readonly priority: number;
  /** When it began to wait; it is not made to wait for others without it. */
  readonly arrivedAt?: number;
}

/** What a device is known to do with batches. */
export interface BatchRule {
  /** Largest batch, in inputs. */
  readonly maxBatch: number;
  /** Predicted mean milliseconds of a batch of this many inputs; undefined when it was never measured. */
  readonly serviceMs: (replica: string, size: number) => number | undefined;
  /**
   * Milliseconds that most batches of this many inputs stay below. A request joins a batch only when all of it would be on
   * time even so. Default: `serviceMs`, with which a batch that just fits is late every other time.
   */
  readonly tailMs?: (replica: string, size: number) => number | undefined;
  /**
   * Milliseconds that hardly any batch of this many inputs stays below, at most `serviceMs`: what has less time left is given
   * up. Default: `LEAST_SHARE` of `serviceMs`, as a prediction may be a little wrong, and a request that could still make it
   * costs at most one run in vain.
   */
  readonly leastServiceMs?: (replica: string, size: number) => number | undefined;
  /** Milliseconds that each run costs besides its service, whatever its size; default 0. */
  readonly overheadMs?: number;
  /**
   * Whether a head with too little time for a full batch is passed over while several full batches of others, as important and
   * with enough time, wait for its replica, and take at most half as long for each input (Nexus, section 6.3): small batches for
   * the late ones make everybody late under overload. It is dropped when its own time is over. Default: yes.
   */
  readonly passesOver?: boolean;
  /** Longest time that a request waits for others to fill its batch while the device is idle; default 0 = never. */
  readonly maxWaitMs?: number;
}

/**
 * The milliseconds that a request of this many inputs is taken to need at least: with less time left it is dropped. Undefined
 * when it was never measured: then only its deadline counts.
 */
export function leastServiceMs(rule: BatchRule, replica: string, size: number): number | undefined {
  const meanMs = rule.serviceMs(replica, size);
  if (meanMs === undefined) return undefined;
  return Math.min(meanMs, rule.leastServiceMs?.(replica, size) ?? LEAST_SHARE * meanMs);
}

/** What to run next and what to give up, as positions in the queue; everything else goes on waiting. */
export interface BatchPlan {
  readonly run: readonly number[];
  /** Requests that cannot be answered in time any more: refused before they cost anything. */
  readonly drop: readonly number[];
  /** What runs the batch, where it is not what its requests name first. */
  readonly replica?: string;
  /** Nothing runs yet, since the batch may fill: form it anew at this time, or at the next arrival. */
  readonly waitUntil?: number;
}

/** What a run takes at least, as a share of its mean, where nothing else is known: means are predicted to about a tenth. */
export const LEAST_SHARE = 0.9;
/** Batches whose times differ by at most this share of the head's slack count as equally close below it. */
const CLOSE_SHARE = 0.1;
/** Share of the time of running one after another that a batch has to save: less is within the noise of profiles. */
const LEAST_SAVING = 0.1;
/** One more input has to cost less than this share of a run of its own for a device to idle for its sake. */
const WORTH_WAITING = 0.5;
/**
 * A head is passed over only where its batch takes this many times as long for each input as a full one, and where so many full
 * batches of others wait. In the simulator with less of either, requests with tight deadlines among others lose also where all
 * could be served.
 */
const WORTH_PASSING = 2;
const PASSING_BATCHES = 3;

/**
 * Forms the next batch from what is waiting.
 *
 * *Early drop* (Nexus, SOSP '19; Clockwork, OSDI '20): a request that would be late even if it ran now, alone and
 * fast (`leastServiceMs`) is dropped; nothing else is.
 * *Order*: by priority, then earliest deadline first, then position. The first of what is left is the head.
 * *Batch* (SlackFit, SuperServe, NSDI '25): of the replicas that will do for the head, each with as many waiting requests as
 * can join, the one whose predicted time is closest below the head's slack, and the largest of those that are about as
 * close; with a single replica, the largest batch that fits. A head that fits on none by the mean, but might, runs alone
 * where it is fastest. A request joins, in order, while the batch stays within `maxBatch` and none of its members becomes late by it: with
 * priorities, the head need not be the most urgent. Where a batch would save nothing over running its requests one after
 * another, as on most CPUs, the head runs alone. Of equals, the replica that is named first.
 * *Overload* (Nexus): behind a long queue a head with little time left gives way to a full batch, see `passesOver`.
 * *Waiting* (Proteus, ASPLOS '24), only with `maxWaitMs`: while everything that waits fits into one batch with room, and one
 * more input would cost clearly less than a run of its own, nothing runs until the last moment at which all are on time.
 *
 * A batch with more inputs is taken to need no less time. Costs one pass over the queue, and the logarithm of its length
 * for each request that is tried.
 */
export function formBatch(queue: readonly Waiting[], now: number, rule: BatchRule): BatchPlan {
  const times = new Times(rule);
  const drop: number[] = [];
  const live: number[] = [];
  for (let index = 0; index < queue.length; index += 1) {
    (isLate(queue[index] as Waiting, now, times) ? drop : live).push(index);
  }
  const headIndex = live.reduce(
    (head, index) => (head === undefined || compare(queue, index, head) < 0 ? index : head),
    live[0],
  );
  const head = headIndex === undefined ? undefined : queue[headIndex];
  if (headIndex === undefined || head === undefined) return { run: [], drop };

  const slackMs = head.deadlineAt - now;
  const fitting = replicasOf(head)
    .filter((replica) => (times.mean(replica, head.size) ?? 0) <= slackMs)
    .map((replica) => grow(replica, headIndex, { queue, live, now, rule, times }));
  const best = closest(fitting, slackMs);
  const full =
    rule.passesOver !== false ? fullBatch(head, best, { queue, live, now, rule, times }) : undefined;
  if (full !== undefined) return runOn(full.replica, head, full.run, drop);
  if (best === undefined) return runOn(fastest(head, times), head, [headIndex], drop);
  const waitUntil = best.run.length === live.length ? fillUntil(best, { queue, rule, times }) : now;
  if (waitUntil > now) return { run: [], drop, waitUntil };
  return runOn(best.replica, head, best.run, drop);
}

function runOn(replica: string, head: Waiting, run: readonly number[], drop: readonly number[]): BatchPlan {
  return replica === head.replica ? { run, drop } : { run, drop, replica };
}

interface Batch {
  readonly replica: string;
  readonly run: readonly number[];
  readonly size: number;
  /** Undefined = never measured. */
  readonly predictedMs: number | undefined;
}

interface State {
  readonly queue: readonly Waiting[];
  /** Positions of what is not dropped. */
  readonly live: readonly number[];
  readonly now: number;
  readonly rule: BatchRule;
  readonly times: Times;
}

/** The head with everything that can join it on a replica. */
function grow(replica: string, headIndex: number, { queue, live, now, rule, times }: State): Batch {
  const head = queue[headIndex] as Waiting;
  const alone = (): Batch => ({
    replica,
    run: [headIndex],
    size: head.size,
    predictedMs: times.mean(replica, head.size),
  });
  if (head.size >= rule.maxBatch) return alone();

  const others = live.filter((index) => index !== headIndex && canRunOn(queue[index] as Waiting, replica));
  const order = createOrder(others, (a, b) => compare(queue, a, b));
  const run = [headIndex];
  let { size, deadlineAt } = head;
  /** Inputs that a batch may have without one of its members being late. */
  let largest = rule.maxBatch;
  let oneByOneMs = times.mean(replica, head.size) ?? 0;
  for (let index = order.next(); index !== undefined && size < largest; index = order.next()) {
    const entry = queue[index] as Waiting;
    const joined = size + entry.size;
    if (joined > largest) continue;
    const endsAt = now + (times.tail(replica, joined) ?? 0);
    if (endsAt > deadlineAt) largest = joined - 1;
    if (endsAt > deadlineAt || endsAt > entry.deadlineAt) continue;
    run.push(index);
    size = joined;
    deadlineAt = Math.min(deadlineAt, entry.deadlineAt);
    oneByOneMs += times.mean(replica, entry.size) ?? 0;
  }
  const predictedMs = times.mean(replica, size);
  const overheadMs = (run.length - 1) * (rule.overheadMs ?? 0);
  const saves = predictedMs === undefined || predictedMs <= (1 - LEAST_SAVING) * oneByOneMs + overheadMs;
  return run.length === 1 || saves ? { replica, run, size, predictedMs } : alone();
}

/**
 * A full batch of requests as important as the head that have the time for it, where several wait and take clearly less for each
 * input than the best batch with the head.
 */
function fullBatch(head: Waiting, best: Batch | undefined, state: State): Batch | undefined {
  const { queue, live, now, rule, times } = state;
  const { replica } = head;
  let full = rule.maxBatch;
  // Of replicas that share a device the largest batch of one may be none of another.
  while (full > 1 && times.tail(replica, full) === Number.POSITIVE_INFINITY) full -= 1;
  const fullMs = times.tail(replica, full);
  if (fullMs === undefined || (best !== undefined && best.size >= full)) return undefined;
  const alone = times.mean(replica, head.size) ?? 0;
  const perInputMs = best === undefined ? alone / head.size : (best.predictedMs ?? 0) / best.size;
  if (perInputMs < ((times.mean(replica, full) ?? 0) / full) * WORTH_PASSING) return undefined;
  const patient = live.filter((index) => {
    const entry = queue[index] as Waiting;
    const isSame = entry.replica === replica && rank(entry) === rank(head);
    return isSame && entry.deadlineAt - now >= fullMs;
  });
  if (patient.length < PASSING_BATCHES * full) return undefined;
  const first = patient.reduce((a, b) => (compare(queue, b, a) < 0 ? b : a));
  const batch = grow(replica, first, { ...state, live: patient });
  return batch.size === full ? batch : undefined;
}

/** Of batches that fit below the head's slack, the largest of those that are about closest; undefined when there is none. */
function closest(batches: readonly Batch[], slackMs: number): Batch | undefined {
  const longestMs = batches.reduce((longest, { predictedMs = 0 }) => Math.max(longest, predictedMs), 0);
  let best: Batch | undefined;
  for (const batch of batches) {
    const { size, predictedMs = 0 } = batch;
    if (predictedMs < longestMs - CLOSE_SHARE * slackMs) continue;
    const isBetter =
      best === undefined || size > best.size || (size === best.size && predictedMs > (best.predictedMs ?? 0));
    if (isBetter) best = batch;
  }
  return best;
}

/** The replica on which a request is predicted to be done first. */
function fastest(head: Waiting, times: Times): string {
  const timeOf = (replica: string) => times.mean(replica, head.size) ?? 0;
  return replicasOf(head).reduce((best, replica) => (timeOf(replica) < timeOf(best) ? replica : best));
}

/** Until when a batch may wait for one more input; the past when it is not to wait. */
function fillUntil(
  { replica, run, size }: Batch,
  { queue, rule, times }: Omit<State, 'live' | 'now'>,
): number {
  const { maxWaitMs = 0, maxBatch } = rule;
  const never = Number.NEGATIVE_INFINITY;
  if (!(maxWaitMs > 0) || size >= maxBatch) return never;
  const [one, own, more] = [1, size, size + 1].map((inputs) => times.mean(replica, inputs));
  if (one === undefined || own === undefined || more === undefined) return never;
  if (more - own > WORTH_WAITING * one) return never;
  const neededMs = times.tail(replica, size + 1) ?? more;
  let until = Number.POSITIVE_INFINITY;
  for (const index of run) {
    const { arrivedAt = never, deadlineAt } = queue[index] as Waiting;
    until = Math.min(until, arrivedAt + maxWaitMs, deadlineAt - neededMs);
  }
  return until;
}

/** Whether a request would be late on every replica that will do, even if it ran now, alone and fast. */
function isLate(entry: Waiting, now: number, times: Times): boolean {
  if (!(entry.deadlineAt > now)) return true;
  const fits = (replica: string) => now + (times.least(replica, entry.size) ?? 0) <= entry.deadlineAt;
  return !fits(entry.replica) && !(entry.alternatives?.some(fits) ?? false);
}

function replicasOf({ replica, alternatives = [] }: Waiting): readonly string[] {
  return [replica, ...alternatives];
}

function canRunOn(entry: Waiting, replica: string): boolean {
  return entry.replica === replica || (entry.alternatives?.includes(replica) ?? false);
}

function compare(queue: readonly Waiting[], a: number, b: number): number {
  const [first, second] = [queue[a] as Waiting, queue[b] as Waiting];
  return rank(first) - rank(second) || first.deadlineAt - second.deadlineAt || a - b;
}

/** Priority 0 means "default", which ranks below every named priority. */
function rank(entry: Waiting): number {
  return entry.priority === 0 ? Number.MAX_SAFE_INTEGER : entry.priority;
}

type PredictedMs = Map<string, (number | undefined)[]>;

/** The predictions of a rule, each asked for once: they are the same for most of a long queue. */
class Times {
  readonly #rule: BatchRule;
  readonly #means: PredictedMs = new Map();
  readonly #tails: PredictedMs = new Map();
  readonly #leasts: PredictedMs = new Map();

  constructor(rule: BatchRule) {
    this.#rule = rule;
  }

  mean(replica: string, size: number): number | undefined {
    return kept(this.#means, replica, size, this.#rule.serviceMs);
  }

  least(replica: string, size: number): number | undefined {
    return kept(this.#leasts, replica, size, () => leastServiceMs(this.#rule, replica, size));
  }

  tail(replica: string, size: number): number | undefined {
    return kept(this.#tails, replica, size, this.#rule.tailMs ?? this.#rule.serviceMs);
  }
}

function kept(known: PredictedMs, replica: string, size: number, ask: BatchRule['serviceMs']) {
  let bySize = known.get(replica);
  if (bySize === undefined) {
    bySize = [];
    known.set(replica, bySize);
  }
  // A size that was asked for and never measured is there as undefined.
  if (!(size in bySize)) bySize[size] = ask(replica, size);
  return bySize[size];
}
