import { createHighsSolver } from '@nearfar/coordinator/highs';
import { readPrices } from '@nearfar/coordinator/node';
import type { CoordinatorSideLink, LinkEnd, RegisteredTask, Solver } from '@nearfar/core';
import { Sketch } from '@nearfar/core';
import {
  type CoordinatorMessage,
  float32Tensor,
  LINK_PROTOCOL,
  type ProfileReport,
  type Tensor,
  type VariantSpec,
  type WorkerMessage,
} from '@nearfar/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import { type Coordinator, createCoordinator } from '../../../coordinator/src/coordinator.ts';
import {
  createMemoryAccounts,
  createMemoryArtifacts,
  createMemoryProfiles,
  createMemoryRegistry,
} from '../../../coordinator/src/drivers/memory.ts';
import type { CoordinatorOptions } from '../../../coordinator/src/options.ts';
import { sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { ManualClock, settled } from '../../support/worker/manual-clock.ts';

const PLAN_EVERY_MS = 5_000;
const PRICES = await readPrices(undefined);

/** A worker inside the test: it loads at once what it is told to, and answers each request at once. */
class InstantWorker implements CoordinatorSideLink {
  readonly bufferedBytes = 0;
  readonly held = new Map<string, VariantSpec>();
  /** How many variants it held after each change. */
  readonly history: number[] = [];
  readonly answered: string[] = [];
  readonly #id: string;
  readonly #tier: 'edge' | 'pool';
  readonly #computeMs: number;
  #sequence = 0;
  #message: (message: WorkerMessage, tensors: readonly Tensor[]) => void = () => {};
  #close: (end: LinkEnd) => void = () => {};

  constructor(id: string, tier: 'edge' | 'pool', computeMs: number) {
    this.#id = id;
    this.#tier = tier;
    this.#computeMs = computeMs;
  }

  onMessage: CoordinatorSideLink['onMessage'] = (handler) => {
    this.#message = handler;
  };
  onClose: CoordinatorSideLink['onClose'] = (handler) => {
    this.#close = handler;
  };
  close = (code = 1000, reason = '') => this.#close({ code, reason });

  send: CoordinatorSideLink['send'] = (message) => {
    // As over a socket: what is said is heard later.
    queueMicrotask(() => this.#receive(message));
  };

  hello(usdPerHour: number): void {
    this.#message(
      {
        type: 'worker-hello',
        protocol: LINK_PROTOCOL,
        workerId: this.#id,
        tier: this.#tier,
        device: { kind: 'cpu', deviceClass: `cpu:${this.#id}`, description: '' },
        slots: 1,
        queueCapacity: 64,
        formats: ['onnx'],
        usdPerHour,
      },
      [],
    );
  }

  report(): void {
    const replicas = [...this.held.values()].map(({ task, variant, revision }) => ({
      task,
      variant,
      revision,
      state: 'ready' as const,
    }));
    this.#message({ type: 'load-report', load: this.#load(), replicas }, []);
  }

  #receive(message: CoordinatorMessage): void {
    if (message.type === 'variant-load') {
      const { task, variant } = message.spec;
      this.held.set(`${task}/${variant}`, message.spec);
      this.history.push(this.held.size);
      this.#message({ type: 'profile-report', reports: [this.#profile(message.spec)] }, []);
      this.report();
    } else if (message.type === 'variant-unload') {
      // Told again while it has not heard of the last report: nothing changes.
      if (!this.held.delete(`${message.task}/${message.variant}`)) return;
      this.history.push(this.held.size);
      this.report();
    } else if (message.type === 'execute-request') {
      this.#sequence = message.sequence;
      const { requestId, task, variant } = message;
      if (!this.held.has(`${task}/${variant}`)) {
        const error = { error: 'not here', code: 'MESH_VARIANT_NOT_READY', retryable: true };
        this.#message({ type: 'execute-refused', requestId, error, load: this.#load() }, []);
        return;
      }
      this.answered.push(`${task}/${variant}`);
      const timing = { queueMs: 0, batchWaitMs: 0, computeMs: this.#computeMs, batchSize: 1, batchOffset: 0 };
      this.#message({ type: 'execute-result', requestId, ...timing, load: this.#load() }, [
        float32Tensor('logits', [1, 3], Float32Array.of(0, 1, 2)),
      ]);
    }
  }

  #profile({ task, variant, revision }: VariantSpec): ProfileReport {
    const sketch = new Sketch();
    for (let run = 0; run < 50; run += 1) sketch.add(this.#computeMs);
    const key = { task, variant, revision, deviceClass: `cpu:${this.#id}`, batch: 1 };
    return { ...key, epoch: this.#id, version: 1, computeMs: sketch.toData(), loadMs: 500 };
  }

  #load() {
    return { backlogMs: 0, waiting: 0, running: 0, lastSequence: this.#sequence, rttMs: 1 };
  }
}

const open: Coordinator[] = [];
afterEach(async () => {
  for (const coordinator of open.splice(0)) await coordinator.close();
});

const TASKS = ['one', 'two', 'three'];

function task(name: string): RegisteredTask {
  return sampleTask({ task: name, variants: [sampleVariant({ task: name })] });
}

async function setUp(options: Partial<CoordinatorOptions> = {}) {
  const clock = new ManualClock();
  const coordinator = await createCoordinator({
    clock,
    registry: createMemoryRegistry(TASKS.map((name) => ({ active: task(name) }))),
    profiles: createMemoryProfiles(),
    artifacts: createMemoryArtifacts(),
    accounts: createMemoryAccounts(),
    prices: PRICES,
    secret: new Uint8Array(32).fill(7),
    pictures: { toTensor: () => Promise.reject(new Error('no pictures')), close: async () => {} },
    isAuthRequired: false,
    embeddedWorkerIds: ['edge'],
    planEveryMs: PLAN_EVERY_MS,
    log: () => {},
    ...options,
  });
  open.push(coordinator);
  const workers: InstantWorker[] = [];
  const join = async (tier: 'edge' | 'pool', id: string, usdPerHour: number, computeMs = 5) => {
    const worker = new InstantWorker(id, tier, computeMs);
    if (tier === 'edge') coordinator.embedWorker(worker);
    else coordinator.acceptWorker(worker, { role: 'worker', subject: 'workers', tier });
    worker.hello(usdPerHour);
    workers.push(worker);
    await settled();
    return worker;
  };
  const ask = async (name: string, parameters = {}) => {
    const response = await coordinator.app.request(`/v2/models/${name}/infer`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 2, 2], data: [0, 1, 2, 3] }],
        parameters,
      }),
    });
    const answer = (await response.json()) as { parameters?: { tier?: string } };
    return { status: response.status, tier: answer.parameters?.tier };
  };
  /** Lets time pass in seconds, each with a report of every worker and what `each` does. */
  const pass = async (seconds: number, each: () => Promise<void> = async () => {}) => {
    for (let second = 0; second < seconds; second += 1) {
      await each();
      for (const worker of workers) worker.report();
      await clock.advance(1_000);
      await settled();
    }
  };
  const plan = async () => {
    const response = await coordinator.app.request('/v1/plan');
    return ((await response.json()) as { plan: Record<string, unknown> | null }).plan;
  };
  return { clock, coordinator, join, ask, pass, plan };
}

/** A solver of which one can wait until it has nothing to do. */
function watched(solver: Solver): { readonly solver: Solver; readonly idle: () => Promise<void> } {
  const running = new Set<Promise<unknown>>();
  return {
    solver: {
      ...solver,
      solve: (problem, options) => {
        const solution = solver.solve(problem, options);
        running.add(solution);
        return solution.finally(() => running.delete(solution));
      },
    },
    idle: async () => {
      while (running.size > 0) {
        await Promise.all(running);
        await settled();
      }
    },
  };
}

describe('the slow loop', () => {
  test('runs while there are workers, and leaves no timer when there are none', async () => {
    const { clock, join, pass, plan } = await setUp();
    expect(clock.pending).toBe(0);
    expect(await plan()).toBeNull();
    const worker = await join('pool', 'pool', 1);
    await pass(6);
    expect(await plan()).toMatchObject({ epoch: 1, source: 'greedy', unservedPerSecond: 0 });
    await pass(5);
    expect(await plan()).toMatchObject({ epoch: 2 });
    worker.close();
    await pass(11);
    expect(clock.pending).toBe(0);
  });

  test('counts what was admitted by what it asks for, and shows where it is to be served', async () => {
    const { join, ask, pass, plan } = await setUp();
    await join('pool', 'pool', 3);
    await join('edge', 'edge', 0.1);
    await pass(30, async () => {
      await ask('one', { slo_ms: 120, privacy: 'no_pool' });
      await ask('two', { slo_ms: 1_000 });
      await ask('two', { slo_ms: 1_000 });
    });
    const found = await plan();
    expect(found?.demands).toEqual([
      expect.objectContaining({ task: 'one', sloMs: 100, tiers: ['edge'] }),
      expect.objectContaining({ task: 'two', sloMs: 1_000, tiers: ['edge', 'pool'] }),
    ]);
    const demands = (found?.demands ?? []) as readonly { readonly requestsPerSecond: number }[];
    const rates = demands.map((entry) => entry.requestsPerSecond);
    // An upper quantile of one and of two a second.
    expect(rates[0]).toBeGreaterThan(1);
    expect(rates[0]).toBeLessThan(2);
    expect(rates[1]).toBeGreaterThan(2);
    expect(rates[1]).toBeLessThan(3.5);
    const flows = (found?.flows ?? []) as readonly { readonly place: { readonly tier: string } }[];
    expect(flows.map(({ place }) => place.tier)).toEqual(['edge', 'edge']);
  });

  test('sets prices where demand is more than the fleet can do, and takes them back', async () => {
    const { solver, idle } = watched(createHighsSolver());
    const { coordinator, join, ask, pass, plan } = await setUp({ solver });
    await join('edge', 'edge', 0.1, 100);
    await join('pool', 'pool', 3, 5);
    const until = async (isReached: (prices: readonly unknown[]) => boolean, each?: () => Promise<void>) => {
      for (let tries = 0; tries < 60; tries += 1) {
        await pass(5, each);
        // The solver works on a thread of its own, in real time, while the test's clock stands still.
        await idle();
        const found = await plan();
        const { prices } = (found?.prices ?? { prices: [] }) as { prices: readonly unknown[] };
        if (isReached(prices)) return found;
      }
      throw new Error('The prices did not come');
    };
    const busy = await until(
      (prices) => prices.length > 0,
      async () => {
        for (let index = 0; index < 20; index += 1) await ask('one', { slo_ms: 5_000 });
      },
    );
    expect(busy).toMatchObject({
      source: 'solver',
      prices: { prices: [{ tier: 'edge', deviceClass: 'cpu:edge' }] },
    });
    const metrics = await (await coordinator.app.request('/metrics')).text();
    expect(metrics).toMatch(
      /nearfar_shadow_price_usd_per_busy_second\{tier="edge",device_class="cpu:edge"\} \d/,
    );
    expect(metrics).toContain('nearfar_plan_source{source="solver"} 1');
    expect(metrics).toMatch(
      /nearfar_plan_workers\{tier="edge",device_class="cpu:edge",class="\d",count="needed"\} 1/,
    );
    await until((prices) => prices.length === 0);
  });

  test('does not tell workers what to hold where the options do not say so', async () => {
    const { join, pass } = await setUp();
    await join('pool', 'pool', 3);
    const edge = await join('edge', 'edge', 0.1);
    await pass(200);
    expect(edge.history).toEqual([1, 2, 3]);
  });

  test('an edge that scales 0 → 3 → 0 variants by the plan refuses nobody', async () => {
    const { join, ask, pass } = await setUp({ planLoads: true });
    const pool = await join('pool', 'pool', 3);
    const edge = await join('edge', 'edge', 0.1);
    const statuses: number[] = [];
    const askAll = async () => {
      for (const name of TASKS) statuses.push((await ask(name, { slo_ms: 500 })).status);
    };
    // What nobody asks for goes, once it was measured and waited for; the pool keeps everything.
    await pass(120);
    expect(edge.held.size).toBe(0);
    // Requests go to the pool until the edge has loaded.
    expect((await ask('one', { slo_ms: 500 })).tier).toBe('pool');
    await pass(30, askAll);
    expect(edge.held.size).toBe(3);
    expect((await ask('one', { slo_ms: 500 })).tier).toBe('edge');
    // Demand ebbs away, with a request now and then.
    for (let request = 0; request < 15; request += 1) {
      statuses.push((await ask('two', { slo_ms: 500 })).status);
      await pass(10);
    }
    await pass(1_800);
    expect(edge.held.size).toBe(0);
    await askAll();
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(statuses.length).toBeGreaterThan(90);
    expect(pool.held.size).toBe(3);
    expect(edge.history).toEqual([1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]);
  });

  test('keeps the only place of a demand that was seen, also when nobody asks any more', async () => {
    const { join, ask, pass } = await setUp({ planLoads: true });
    await join('pool', 'pool', 3);
    const edge = await join('edge', 'edge', 0.1);
    await ask('one', { privacy: 'no_pool' });
    await pass(1_800);
    expect([...edge.held.keys()]).toEqual(['one/tiny-fp32-onnx']);
    expect((await ask('one', { privacy: 'no_pool' })).status).toBe(200);
  });

  test('leaves a revision on its way to the rollout, until it is there', async () => {
    const { coordinator, join, pass } = await setUp({ planLoads: true });
    await join('pool', 'pool', 3);
    const edge = await join('edge', 'edge', 0.1);
    await pass(120);
    expect(edge.held.size).toBe(0);
    const artifacts = [{ path: 'tiny.onnx', sha256: 'b'.repeat(64), sizeBytes: 12_000 }];
    await coordinator.register(
      sampleTask({
        task: 'one',
        source: 'changed',
        variants: [sampleVariant({ task: 'one', revision: 2, artifacts })],
      }),
    );
    await pass(2);
    expect(coordinator.records().find(({ active }) => active.task === 'one')?.active.revision).toBe(2);
    await pass(200);
    expect(edge.held.size).toBe(0);
  });
});
