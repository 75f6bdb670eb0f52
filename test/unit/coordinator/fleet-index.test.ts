import {
  type CoordinatorSideLink,
  decide,
  type LinkEnd,
  ProfileBook,
  passedOver,
  resolveSpec,
  Sketch,
  type StoredReport,
  totalLatency,
  ZERO,
} from '@nearfar/core';
import {
  LINK_PROTOCOL,
  type Load,
  type PriceTable,
  type Replica,
  type WorkerMessage,
} from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Calibrations } from '../../../coordinator/src/calibrations.ts';
import type { Context } from '../../../coordinator/src/context.ts';
import { DecisionLog } from '../../../coordinator/src/decisions.ts';
import { DominanceIndex } from '../../../coordinator/src/dominated.ts';
import { Fleet } from '../../../coordinator/src/fleet.ts';
import { FleetIndex } from '../../../coordinator/src/fleet-index.ts';
import { decideRequest } from '../../../coordinator/src/steps/decide.ts';
import { workerOptions } from '../../../coordinator/src/steps/options.ts';
import { SAMPLE_PRICES, sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { ManualClock, settled } from '../../support/worker/manual-clock.ts';

const REPORT_EVERY_MS = 1_000;
const VARIANTS = [
  sampleVariant({ accuracy: { value: 0.88, source: 'declared', sampleSize: 0 } }),
  sampleVariant({ variant: 'large-fp32-onnx', model: 'large' }),
  // As accurate as the large one, smaller and faster: where both are warm, it dominates.
  sampleVariant({
    variant: 'large-int8-onnx',
    model: 'large',
    precision: 'int8',
    artifacts: [{ path: 'int8.onnx', sha256: 'c'.repeat(64), sizeBytes: 100 }],
  }),
];
const SERVICE_MS = [2, 9, 6];
const TASK = sampleTask({ variants: VARIANTS });
const ASKED = { task: TASK, rows: 1, network: ZERO };

/** The coordinator's end of a link, driven by the test. */
class FakeLink implements CoordinatorSideLink {
  bufferedBytes = 0;
  sequence = 0;
  #message: ((message: WorkerMessage, tensors: readonly []) => void) | undefined;
  #close: ((end: LinkEnd) => void) | undefined;

  send: CoordinatorSideLink['send'] = (message) => {
    if (message.type === 'execute-request') this.sequence = message.sequence;
  };
  onMessage: CoordinatorSideLink['onMessage'] = (handler) => {
    this.#message = handler;
  };
  onClose: CoordinatorSideLink['onClose'] = (handler) => {
    this.#close = handler;
  };
  close = () => this.#close?.({ code: 1000, reason: '' });
  deliver = (message: WorkerMessage) => this.#message?.(message, []);
}

function setUp() {
  const clock = new ManualClock();
  const book = new ProfileBook();
  const shadowPrices: { table: PriceTable } = { table: { epoch: 0, prices: [] } };
  const calibrations = new Calibrations(clock, (id) => {
    const worker = fleet.find(id);
    if (worker !== undefined) places.changed(worker);
  });
  const fleet: Fleet = new Fleet({
    clock,
    log: () => {},
    reportEveryMs: REPORT_EVERY_MS,
    embeddedIds: new Set(),
    variants: () => VARIANTS,
    onProfiles: () => {},
    onChange: () => {},
    onWorker: (worker) => places.changed(worker),
    onGone: (id) => places.gone(id),
  });
  const dominance = new DominanceIndex(book, clock);
  const places: FleetIndex = new FleetIndex({
    clock,
    book,
    dominance,
    calibrations,
    prices: SAMPLE_PRICES,
    shadowPrices,
    find: (id) => fleet.find(id),
  });
  const context = {
    options: { clock, prices: SAMPLE_PRICES },
    fleet,
    places,
    calibrations,
    decisions: new DecisionLog(),
  } as unknown as Context;
  const join = (number: number) => {
    const link = new FakeLink();
    const tier = number % 2 === 0 ? 'edge' : 'pool';
    fleet.accept(link, { tier, isEmbedded: false });
    link.deliver({
      type: 'worker-hello',
      protocol: LINK_PROTOCOL,
      workerId: `w${number}`,
      tier,
      device: { kind: 'cpu', deviceClass: `cpu:${tier}`, description: '' },
      slots: 1,
      queueCapacity: 2,
      formats: ['onnx'],
    });
    return link;
  };
  let version = 0;
  const measure = (tier: string) => {
    version += 1;
    for (const report of reports(`cpu:${tier}`, version, clock.now())) book.absorb(report);
  };
  return { clock, book, fleet, places, calibrations, context, shadowPrices, join, measure };
}

function reports(deviceClass: string, version: number, receivedAt: number): StoredReport[] {
  return VARIANTS.map(({ task, variant, revision }, index) => {
    const sketch = new Sketch();
    for (let run = 0; run < 50; run += 1) sketch.add((SERVICE_MS[index] ?? 0) * (1 + (run % 5) / 20));
    const report = { task, variant, revision, deviceClass, batch: 1, epoch: 'e', version };
    return { reporter: deviceClass, receivedAt, report: { ...report, computeMs: sketch.toData() } };
  });
}

function replicas(ready: readonly number[]): Replica[] {
  return VARIANTS.map(({ task, variant, revision }, index) => ({
    task,
    variant,
    revision,
    state: ready.includes(index) ? 'ready' : 'loading',
  }));
}

const load = (over: Partial<Load> = {}): Load => ({
  backlogMs: 0,
  waiting: 0,
  running: 0,
  lastSequence: 0,
  ...over,
});

describe('the index of the fleet', () => {
  test('chooses what a decision among all options chooses, whatever happens to the workers', async () => {
    const worker = fc.nat(4);
    const event = fc.oneof(
      fc.record({ kind: fc.constant('join' as const), worker }),
      fc.record({ kind: fc.constant('leave' as const), worker }),
      fc.record({ kind: fc.constant('drain' as const), worker }),
      fc.record({ kind: fc.constant('jam' as const), worker, bytes: fc.constantFrom(0, 1e9) }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(0, 3, 40, 1_000, 4_000) }),
      fc.record({ kind: fc.constant('silence' as const), reports: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ kind: fc.constant('send' as const) }),
      fc.record({ kind: fc.constant('measure' as const), tier: fc.constantFrom('edge', 'pool') }),
      fc.record({ kind: fc.constant('price' as const), price: fc.constantFrom(0, 200, 900_000) }),
      fc.record({ kind: fc.constant('observe' as const), worker, tookMs: fc.constantFrom(3, 30, 90) }),
      fc.record({
        kind: fc.constant('report' as const),
        worker,
        backlogMs: fc.constantFrom(0, 0, 8, 40, 300),
        rttMs: fc.constantFrom(0, 1, 20),
        ready: fc.constantFrom([0], [0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2]),
      }),
    );
    const demands = fc.record({
      slo_ms: fc.constantFrom(5, 20, 60, 400),
      min_accuracy: fc.constantFrom(0, 0.89),
      prefer: fc.constantFrom('cost' as const, 'accuracy' as const),
      on_infeasible: fc.constantFrom('best_effort' as const, 'reject' as const),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(event, demands), { minLength: 5, maxLength: 40 }), async (steps) => {
        const { clock, fleet, calibrations, context, shadowPrices, join, measure } = setUp();
        const links = new Map([0, 1].map((number) => [number, join(number)]));
        for (const tier of ['edge', 'pool']) measure(tier);
        for (const link of links.values())
          link.deliver({ type: 'load-report', load: load(), replicas: replicas([0, 1, 2]) });
        const sent = new AbortController();
        let requests = 0;
        for (const [step, parameters] of steps) {
          const link = 'worker' in step ? links.get(step.worker) : undefined;
          if (step.kind === 'join' && link === undefined) links.set(step.worker, join(step.worker));
          if (step.kind === 'leave') {
            link?.close();
            links.delete(step.worker);
          }
          if (step.kind === 'drain') link?.deliver({ type: 'worker-drain', reason: 'test' } as WorkerMessage);
          if (step.kind === 'jam' && link !== undefined) link.bufferedBytes = step.bytes;
          if (step.kind === 'pass') await clock.advance(step.ms);
          if (step.kind === 'silence') {
            for (let owed = 0; owed < step.reports; owed += 1) await clock.advance(REPORT_EVERY_MS);
          }
          if (step.kind === 'measure') measure(step.tier);
          if (step.kind === 'price') {
            const prices = [{ tier: 'edge' as const, deviceClass: 'cpu:edge', picoUsdPerMs: step.price }];
            shadowPrices.table = { epoch: shadowPrices.table.epoch + 1, prices };
          }
          if (step.kind === 'report' && link !== undefined) {
            const { backlogMs, rttMs, ready } = step;
            const lastSequence = Math.max(0, link.sequence - 1);
            const message = { type: 'load-report' as const, replicas: replicas(ready) };
            link.deliver({ ...message, load: load({ backlogMs, rttMs, lastSequence }) });
          }
          const all = () => workerOptions(context, ASKED, spec);
          const spec = resolveSpec(parameters, {});
          if (step.kind === 'observe' && link !== undefined) {
            const option = all().find((entry) => entry.worker === `w${step.worker}`);
            const variant = VARIANTS.find((entry) => entry.variant === option?.variant);
            if (option !== undefined && variant !== undefined) {
              const watched = calibrations.watch(variant, option, () => clock.sleep(step.tookMs));
              await clock.advance(step.tookMs);
              await watched;
            }
          }
          const expected = decide(spec, all(), 0).choice;
          const { choice } = decideRequest(context, spec, ASKED, 0);
          expect(choice.kind).toBe(expected.kind);
          if (choice.kind === 'refused' || expected.kind === 'refused') continue;
          const { option } = choice.chosen;
          expect(`${option.variant} on ${option.worker}`).toBe(
            `${expected.chosen.option.variant} on ${expected.chosen.option.worker}`,
          );
          expect(choice.chosen.predictedMs).toBe(expected.chosen.predictedMs);
          expect(totalLatency(option.parts)).toEqual(totalLatency(expected.chosen.option.parts));
          expect(option.costPicoUsd).toBe(expected.chosen.option.costPicoUsd);
          if (step.kind !== 'send') continue;
          const variant = VARIANTS.find((entry) => entry.variant === option.variant);
          if (variant === undefined) continue;
          requests += 1;
          fleet
            .find(option.worker)
            ?.execute({
              requestId: `r${requests}`,
              spec: variant,
              tensors: [],
              rows: 1,
              serviceMs: option.parts.compute.meanMs,
              budgetMs: 50,
              timeoutMs: 60_000,
              priority: 0,
              signal: sent.signal,
            })
            .catch(() => undefined);
          await settled();
        }
        sent.abort();
        fleet.close();
        await settled();
      }),
      { numRuns: 150 },
    );
  });

  test('knows a variant as soon as it is measured for the first time', () => {
    const { context, join, measure } = setUp();
    join(0).deliver({ type: 'load-report', load: load(), replicas: replicas([0]) });
    const spec = resolveSpec({}, {});
    expect(decideRequest(context, spec, ASKED, 0).choice.kind).toBe('refused');
    measure('edge');
    expect(decideRequest(context, spec, ASKED, 0).choice.kind).toBe('meets-slo');
  });

  test('judges what was not chosen only for whoever looks at it', () => {
    const { context, join, measure } = setUp();
    measure('edge');
    join(0).deliver({ type: 'load-report', load: load(), replicas: replicas([0, 1, 2]) });
    const spec = resolveSpec({}, {});
    const decision = decideRequest(context, spec, ASKED, 0);
    let looks = 0;
    const watched = new Proxy(decision, {
      get: (target, name) => {
        if (name === 'candidates') looks += 1;
        return Reflect.get(target, name);
      },
    });
    expect(passedOver(spec, watched)).toEqual([]);
    expect(looks).toBe(0);
    expect(watched.candidates).toHaveLength(VARIANTS.length);
  });

  test('keeps every candidate of a small fleet, and of a large one all kinds for whoever asks to explain', () => {
    const { context, fleet, join, measure } = setUp();
    measure('edge');
    measure('pool');
    const ask = (explain: boolean) => decideRequest(context, resolveSpec({ explain }, {}), ASKED, 0);
    const add = (from: number, to: number) => {
      for (let number = from; number < to; number += 1) {
        join(number).deliver({ type: 'load-report', load: load(), replicas: replicas([0, 1, 2]) });
      }
    };
    add(0, 4);
    expect(ask(false).candidates).toHaveLength(4 * VARIANTS.length);
    expect(ask(false).considered).toBeUndefined();
    add(4, 200);
    const many = ask(false);
    expect([many.candidates.length, many.considered]).toEqual([1, 200 * VARIANTS.length]);
    const explained = ask(true);
    expect(explained.candidates).toHaveLength(2 * VARIANTS.length);
    expect(explained.considered).toBe(200 * VARIANTS.length);
    const chosen = explained.choice.kind === 'refused' ? undefined : explained.choice.chosen;
    expect(explained.candidates.filter((candidate) => candidate === chosen)).toHaveLength(1);
    fleet.close();
  });
});
