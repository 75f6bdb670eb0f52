import {
  CalibrationBook,
  chosenOption,
  type DescribeOffer,
  decide,
  type IndexChoice,
  type IndexedWorker,
  type OfferFacts,
  OfferList,
  type Option,
  PlacementIndex,
  passedOver,
  type ReplicaName,
  type RequestSpec,
  type Shift,
  waitMoments,
  ZERO,
} from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { spec, time } from './builders.ts';

const NOW = 1_000;

interface TestWorker extends IndexedWorker {
  readonly freeAtMs: number;
  readonly reportedAtMs: number;
  readonly isAvailable: boolean;
}

interface Fleet {
  readonly variants: readonly ReplicaName[];
  readonly facts: ReadonlyMap<string, OfferFacts>;
  readonly workers: readonly TestWorker[];
  /** Actual times of variants that were predicted to take 10 ms, in the order in which they were observed. */
  readonly observed: readonly { readonly name: string; readonly tookMs: readonly number[] }[];
}

const replica = (number: number): ReplicaName => ({ task: 'fashion', variant: `v${number}`, revision: 1 });

/** Few different figures, so that ties come up. */
const factsArbitrary: fc.Arbitrary<OfferFacts> = fc.record({
  model: fc.constantFrom('small', 'large'),
  accuracy: fc.constantFrom(0.8, 0.9, 0.95),
  compute: fc.record({ meanMs: fc.constantFrom(2, 5, 20), varianceMs2: fc.constantFrom(0, 1, 16, 400) }),
  costPicoUsd: fc.constantFrom(100, 200, 300),
  worstCostPicoUsd: fc.constantFrom(400, 900),
  pricePicoUsd: fc.constantFrom(0, 100),
  dominator: fc.option(
    fc.record({ model: fc.constantFrom('small', 'large'), accuracy: fc.constantFrom(0.8, 0.95) }),
    {
      nil: undefined,
      freq: 6,
    },
  ),
});

const SPEEDS: readonly (Shift | undefined)[] = [undefined, undefined, { shift: 0.7, weight: 8 }];

const fleetArbitrary: fc.Arbitrary<Fleet> = fc
  .integer({ min: 1, max: 4 })
  .chain((count) =>
    fc.record({
      count: fc.constant(count),
      facts: fc.array(factsArbitrary, { minLength: count * 2, maxLength: count * 2 }),
      observed: fc.array(
        fc.record({
          name: fc.nat(count * 2 - 1),
          tookMs: fc.array(fc.constantFrom(5, 9, 10, 12, 30), { minLength: 1, maxLength: 60 }),
        }),
        { maxLength: 3 },
      ),
      workers: fc.array(
        fc.record({
          isPool: fc.boolean(),
          speed: fc.constantFrom(...SPEEDS),
          freeAtMs: fc.constantFrom(0, NOW, NOW + 5, NOW + 8, NOW + 11, NOW + 30, NOW + 200),
          reportedAtMs: fc.constantFrom(
            NOW,
            NOW,
            NOW - 1_000,
            NOW - 4_000,
            NOW - 40_000,
            Number.NEGATIVE_INFINITY,
          ),
          isAvailable: fc.integer({ min: 0, max: 4 }).map((value) => value > 0),
          ready: fc.oneof(
            fc.constant(Array.from({ length: count }, (_, index) => replica(index))),
            fc.subarray(Array.from({ length: count }, (_, index) => replica(index))),
          ),
        }),
        { minLength: 1, maxLength: 10 },
      ),
    }),
  )
  .map(({ count, facts, workers, observed }) => {
    const variants = Array.from({ length: count }, (_, index) => replica(index));
    const names = variants.flatMap(({ variant }) => [`${variant} edge`, `${variant} pool`]);
    return {
      variants,
      facts: new Map(facts.map((entry, index) => [names[index] ?? '', entry])),
      observed: observed.map(({ name, tookMs }) => ({ name: names[name] ?? '', tookMs })),
      workers: workers.map(({ isPool, ...rest }, index) => ({
        id: `w${index}`,
        tier: isPool ? ('pool' as const) : ('edge' as const),
        deviceClass: isPool ? 'cuda:test' : 'cpu:test',
        usdPerHour: 1,
        link: isPool ? time(3, 1) : ZERO,
        ...rest,
      })),
    };
  });

const specArbitrary: fc.Arbitrary<RequestSpec> = fc
  .record({
    slo_ms: fc.constantFrom(1, 8, 12, 20, 40, 300),
    slo_target: fc.constantFrom(0.3, 0.5, 0.9, 0.99, 0.9999),
    min_accuracy: fc.constantFrom(0, 0.85, 0.95),
    degrade_to: fc.option(fc.constantFrom(0.8, 0.9), { nil: undefined }),
    prefer: fc.constantFrom('cost' as const, 'accuracy' as const),
    privacy: fc.constantFrom('any' as const, 'no_pool' as const, 'local_only' as const),
    on_infeasible: fc.constantFrom('best_effort' as const, 'reject' as const),
  })
  .map(({ degrade_to, ...parameters }) =>
    spec({ ...parameters, ...(degrade_to !== undefined && { degrade_to }) }),
  );

const network = time(4, 1);

function bookOf({ observed }: Fleet): CalibrationBook {
  const book = new CalibrationBook();
  for (const { name, tookMs } of observed) {
    for (const ms of tookMs) book.observe(keyOf(name), 'somebody', time(10, 3), ms);
  }
  return book;
}

function keyOf(name: string) {
  const [variant = '', tier = ''] = name.split(' ');
  return {
    task: 'fashion',
    variant,
    revision: 1,
    tier,
    deviceClass: tier === 'pool' ? 'cuda:test' : 'cpu:test',
  };
}

/** What the fleet's variants are at a place, with live calibrations. */
function describer(fleet: Fleet, book = bookOf(fleet)): DescribeOffer {
  return ({ variant }, { tier, speed }) => {
    const known = fleet.facts.get(`${variant} ${tier}`);
    return known && { ...known, calibration: book.live(keyOf(`${variant} ${tier}`), speed) };
  };
}

function indexOf({ workers }: Fleet): PlacementIndex {
  const index = new PlacementIndex();
  for (const worker of workers) {
    index.setWorker(worker);
    index.setQueue(worker.id, worker.freeAtMs, worker.reportedAtMs, 0);
    index.setAvailable(worker.id, worker.isAvailable);
  }
  return index;
}

/** Every (variant, worker) that takes work, as `decide` wants them. */
function allOptions(fleet: Fleet, request: RequestSpec, except: ReadonlySet<string> = new Set()): Option[] {
  const book = bookOf(fleet);
  return fleet.workers
    .filter(({ id, isAvailable }) => isAvailable && !except.has(id))
    .flatMap((worker) =>
      worker.ready.flatMap(({ variant, revision }) => {
        const name = `${variant} ${worker.tier}`;
        const known = fleet.facts.get(name);
        if (known === undefined) return [];
        const { compute, dominator, ...rest } = known;
        const isDominated =
          dominator !== undefined &&
          request.variant === undefined &&
          (request.model === undefined || request.model === dominator.model) &&
          dominator.accuracy >= request.minAccuracy;
        return [
          {
            ...rest,
            variant,
            revision,
            tier: worker.tier,
            worker: worker.id,
            deviceClass: worker.deviceClass,
            calibration: book.live(keyOf(name), worker.speed),
            parts: {
              network: {
                meanMs: network.meanMs + worker.link.meanMs,
                varianceMs2: network.varianceMs2 + worker.link.varianceMs2,
              },
              queue: waitMoments(Math.max(0, worker.freeAtMs - NOW), NOW - worker.reportedAtMs),
              compute,
              load: ZERO,
            },
            blockers: isDominated ? [{ code: 'dominated' as const, message: '' }] : [],
          },
        ];
      }),
    );
}

function choose(fleet: Fleet, request: RequestSpec, except?: ReadonlySet<string>): IndexChoice {
  const list = new OfferList(fleet.variants, describer(fleet));
  return indexOf(fleet).choose(list, { spec: request, elapsedMs: 1, nowMs: NOW, network, except });
}

/** What a choice and a decision have in common, to be compared. */
function factsOf(found: IndexChoice | ReturnType<typeof decide>) {
  if ('candidates' in found) {
    const { choice } = found;
    if (choice.kind === 'refused') return 'none';
    const { option, onTimeProbability } = choice.chosen;
    const { variant, tier, worker, parts } = option;
    return {
      kind: choice.kind,
      variant,
      tier,
      worker,
      parts,
      onTimeProbability,
      isDegraded: choice.kind === 'meets-slo' && choice.isDegraded,
    };
  }
  if (found.kind === 'none') return 'none';
  const { variant, tier, worker, parts } = chosenOption(found, network);
  const { kind, onTimeProbability, isDegraded } = found;
  return { kind, variant, tier, worker, parts, onTimeProbability, isDegraded };
}

/** A choice as one line, to be compared with another. */
function lineOf(choice: IndexChoice): string {
  return choice.kind === 'none' ? 'none' : `${choice.kind} ${choice.offer.variant} on ${choice.worker}`;
}

describe('the index', () => {
  test('chooses what decide chooses among the options of all workers', () => {
    fc.assert(
      fc.property(fleetArbitrary, specArbitrary, (fleet, request) => {
        const decision = decide(request, allOptions(fleet, request), 1);
        expect(factsOf(choose(fleet, request))).toEqual(factsOf(decision));
      }),
      { numRuns: 5_000 },
    );
  });

  test('leaves out workers that refused, and still finds what decide finds without them', () => {
    fc.assert(
      fc.property(
        fleetArbitrary,
        specArbitrary,
        fc.subarray(['w0', 'w1', 'w2', 'w3']),
        (fleet, request, refused) => {
          const except = new Set(refused);
          const decision = decide(request, allOptions(fleet, request, except), 1);
          expect(factsOf(choose(fleet, request, except))).toEqual(factsOf(decision));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('remembers of one request only what holds for the next', () => {
    const change = fc.record({
      worker: fc.nat(9),
      freeInMs: fc.constantFrom(-5, 0, 3, 9, 25, 120),
      passMs: fc.constantFrom(0, 0.5, 2, 20, 1_200),
      isReport: fc.boolean(),
      tookMs: fc.option(fc.constantFrom(5, 30), { nil: undefined }),
      request: specArbitrary,
    });
    fc.assert(
      fc.property(fleetArbitrary, fc.array(change, { minLength: 2, maxLength: 12 }), (fleet, changes) => {
        const book = bookOf(fleet);
        const describe = describer(fleet, book);
        const index = indexOf(fleet);
        const list = new OfferList(fleet.variants, describe);
        const workers = [...fleet.workers];
        let nowMs = NOW;
        for (const { worker, freeInMs, passMs, isReport, tookMs, request } of changes) {
          nowMs += passMs;
          const at = worker % workers.length;
          const known = workers[at];
          if (known === undefined) continue;
          const reportedAtMs = isReport ? nowMs : known.reportedAtMs;
          workers[at] = { ...known, freeAtMs: nowMs + freeInMs, reportedAtMs };
          index.setQueue(known.id, nowMs + freeInMs, reportedAtMs, nowMs);
          if (tookMs !== undefined) book.observe(keyOf(`v0 ${known.tier}`), known.id, time(10, 3), tookMs);
          const asked = { spec: request, elapsedMs: 1, nowMs, network };
          // Another index, which has been asked nothing before.
          const fresh = indexOf({ ...fleet, workers }).choose(new OfferList(fleet.variants, describe), asked);
          expect(factsOf(index.choose(list, asked))).toEqual(factsOf(fresh));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('names as passed over for its calibration alone only what decide would, beside what was chosen', () => {
    fc.assert(
      fc.property(fleetArbitrary, specArbitrary, (fleet, request) => {
        const found = choose(fleet, request).passedOver;
        if (found === undefined) return;
        const options = allOptions(fleet, request);
        const { choice } = decide(request, options, 1);
        // What is chosen for want of a better one may have been passed over as well.
        const chosen = choice.kind === 'meets-slo' ? choice.chosen.option : undefined;
        const passed = options.filter(
          ({ variant, worker }) => variant === found.offer.variant && worker === found.worker,
        );
        const among = chosen === undefined ? passed : [...passed, chosen];
        expect(passedOver(request, decide(request, among, 1))).toEqual(passed);
      }),
      { numRuns: 1_000 },
    );
  });

  test('does not mind in which order it heard of its workers', () => {
    fc.assert(
      fc.property(fleetArbitrary, specArbitrary, (fleet, request) => {
        const turned = { ...fleet, workers: fleet.workers.toReversed() };
        expect(lineOf(choose(turned, request))).toBe(lineOf(choose(fleet, request)));
      }),
    );
  });

  test('a worker that is slower, or as fast and dearer, changes nothing', () => {
    fc.assert(
      fc.property(fleetArbitrary, specArbitrary, fc.boolean(), (fleet, request, isDearer) => {
        const [first] = fleet.workers;
        if (first?.isAvailable !== true) return;
        // The approximation of sums by log-normals is not monotone where it is asked for more than it can tell.
        fc.pre(
          isDearer || (first.reportedAtMs === NOW && request.sloTarget >= 0.5 && request.sloTarget <= 0.99),
        );
        fc.pre([...fleet.facts.values()].every(({ compute }) => isDearer || compute.varianceMs2 < 100));
        const slower = { freeAtMs: Math.max(NOW, first.freeAtMs) + 50, reportedAtMs: NOW };
        const worse = { ...first, id: 'z-worse', ...(isDearer ? { usdPerHour: 2 } : slower) };
        const describe = describer(fleet);
        const list = () =>
          new OfferList(fleet.variants, (name, place, isReady) => {
            const facts = describe(name, place, isReady);
            const isWorse = facts !== undefined && place.usdPerHour === 2;
            return isWorse ? { ...facts, costPicoUsd: facts.costPicoUsd + 1 } : facts;
          });
        const asked = { spec: request, elapsedMs: 1, nowMs: NOW, network };
        const more = indexOf({ ...fleet, workers: [...fleet.workers, worse] }).choose(list(), asked);
        expect(lineOf(more)).toBe(lineOf(indexOf(fleet).choose(list(), asked)));
      }),
      { numRuns: 3_000 },
    );
  });

  test('a raised price never makes an offer the choice that was not', () => {
    fc.assert(
      fc.property(fleetArbitrary, specArbitrary, fc.nat(7), (fleet, request, which) => {
        const names = [...fleet.facts.keys()];
        const name = names[which % names.length] ?? '';
        const dearer = new Map(fleet.facts);
        const known = dearer.get(name);
        if (known === undefined) return;
        dearer.set(name, { ...known, pricePicoUsd: known.pricePicoUsd + 500 });
        const uses = (choice: IndexChoice) =>
          choice.kind === 'meets-slo' && `${choice.offer.variant} ${choice.offer.group.facts.tier}` === name;
        const after = choose({ ...fleet, facts: dearer }, request);
        if (uses(after)) expect(uses(choose(fleet, request))).toBe(true);
      }),
    );
  });

  const FACTS: OfferFacts = {
    model: 'small',
    accuracy: 0.9,
    compute: time(5, 1),
    costPicoUsd: 1,
    worstCostPicoUsd: 3,
    pricePicoUsd: 0,
  };
  const worker = (id: string, ready: readonly ReplicaName[] = [replica(0)]): IndexedWorker => ({
    id,
    tier: 'edge',
    deviceClass: 'cpu:test',
    usdPerHour: 1,
    link: ZERO,
    ready,
  });

  test('follows its workers as they come, load, work, fall silent and go', () => {
    const index = new PlacementIndex();
    const list = new OfferList([replica(0)], () => FACTS);
    const ask = (nowMs: number) =>
      lineOf(index.choose(list, { spec: spec({ slo_ms: 50 }), elapsedMs: 0, nowMs, network }));
    expect(ask(0)).toBe('none');
    index.setWorker(worker('a', []));
    expect(ask(0)).toBe('none');
    index.setWorker(worker('a'));
    index.setWorker(worker('b'));
    expect(ask(0)).toBe('meets-slo v0 on a');
    index.dispatched('a', 10, 0);
    expect(ask(0)).toBe('meets-slo v0 on b');
    expect(ask(20)).toBe('meets-slo v0 on a');
    index.setAvailable('a', false);
    expect(ask(20)).toBe('meets-slo v0 on b');
    index.setAvailable('a', true);
    expect(ask(20)).toBe('meets-slo v0 on a');
    // Its queue is not forgotten because it loaded something.
    index.setQueue('a', 60, 20, 20);
    index.setWorker(worker('a', [replica(0), replica(1)]));
    expect(ask(20)).toBe('meets-slo v0 on b');
    index.removeWorker('b');
    expect(ask(20)).toBe('best-effort v0 on a');
    index.removeWorker('a');
    expect([ask(20), index.size]).toEqual(['none', 0]);
  });

  test('keeps a worker that takes no work out when what it holds changes', () => {
    const index = new PlacementIndex();
    const list = new OfferList([replica(0)], () => FACTS);
    index.setWorker(worker('a'));
    index.setAvailable('a', false);
    index.setWorker(worker('a', [replica(0), replica(1)]));
    expect(index.choose(list, { spec: spec(), elapsedMs: 0, nowMs: 0, network }).kind).toBe('none');
  });

  test('asks anew what offers are when it is told to', () => {
    const index = new PlacementIndex();
    index.setWorker(worker('a'));
    let accuracy = 0.8;
    const list = new OfferList([replica(0)], () => ({ ...FACTS, accuracy }));
    const ask = () =>
      lineOf(index.choose(list, { spec: spec({ min_accuracy: 0.85 }), elapsedMs: 0, nowMs: 0, network }));
    expect(ask()).toBe('none');
    accuracy = 0.9;
    expect(ask()).toBe('none');
    list.invalidate();
    expect(ask()).toBe('meets-slo v0 on a');
  });

  test('looks behind the first worker for one of which less is known, also when that came a moment ago', () => {
    const index = new PlacementIndex();
    const list = new OfferList([replica(0)], () => FACTS);
    for (const id of ['a', 'b']) index.setWorker(worker(id));
    index.setQueue('a', 40, 0, 0);
    index.setAvailable('b', false);
    const asked = spec({ slo_ms: 30, slo_target: 0.6, on_infeasible: 'reject' });
    const ask = (nowMs: number) => lineOf(index.choose(list, { spec: asked, elapsedMs: 0, nowMs, network }));
    expect(ask(0)).toBe('none');
    index.setQueue('b', 45, Number.NEGATIVE_INFINITY, 0);
    index.setAvailable('b', true);
    expect(ask(1)).toBe('meets-slo v0 on b');
  });

  test('forgets groups that nobody belongs to any more', () => {
    const index = new PlacementIndex();
    for (let round = 0; round < 2_000; round += 1) index.setWorker({ ...worker('a'), usdPerHour: round });
    expect(index.groups).toBeLessThan(10);
    expect(index.samples(0)).toEqual(['a']);
  });

  describe.each([
    ['idle', 0],
    ['busy', 30],
    ['overloaded', 5_000],
  ])('among %s workers', (_, backlogMs) => {
    test('looks at as many places among ten thousand as among a hundred', () => {
      const looksAmong = (count: number) => {
        const index = new PlacementIndex();
        const list = new OfferList([replica(0)], () => FACTS);
        for (let number = 0; number < count; number += 1) {
          index.setWorker(worker(`w${number}`));
          index.setQueue(`w${number}`, backlogMs, 0, 0);
        }
        for (let nowMs = 0; nowMs < 100; nowMs += 1) {
          const asked = { spec: spec({ slo_ms: 40 }), elapsedMs: 0, nowMs: nowMs / 100, network };
          const choice = index.choose(list, asked);
          if (choice.kind !== 'none') index.dispatched(choice.worker, 5, nowMs / 100);
        }
        return index.looks;
      };
      expect(looksAmong(10_000)).toBeLessThanOrEqual(2 * looksAmong(100));
    });
  });
});
