import { CalibrationBook, EscalationBook } from '@nearfar/core';
import {
  BINARY_HEADER,
  decodeInferRequest,
  encodeInferResponse,
  joinBody,
  type Lease,
  type MeshError,
  type Outcome,
  type OutcomesRequest,
  type OutcomesResponse,
  type Parameters,
  type PlacementRequest,
  type Tensor,
  type VariantSpec,
} from '@nearfar/protocol';
import type { Api } from '../../../client-sdk/src/api.ts';
import { Device } from '../../../client-sdk/src/device.ts';
import { inferDecided } from '../../../client-sdk/src/infer.ts';
import { Leases } from '../../../client-sdk/src/lease.ts';
import { NetworkMeter } from '../../../client-sdk/src/network.ts';
import { OutcomeReporter } from '../../../client-sdk/src/outcomes.ts';
import { countRows, specOf } from '../../../client-sdk/src/request.ts';
import type { MeshEvents } from '../../../client-sdk/src/types.ts';
import { HandClock, lease, rowsOf, taskInfo, variantSpec } from './builders.ts';
import { AnsweringWorkers } from './fake-worker.ts';

/** Where the mesh says that it ran a request. */
export const EDGE = { tier: 'edge', variant: 'tiny-fp32-onnx', worker: 'edge-1', accuracy: 0.9 } as const;

interface Emitted {
  readonly type: keyof MeshEvents;
  readonly detail: unknown;
}

export interface PageOptions {
  readonly granted?: Lease;
  /** What the engine does with a run of a session; default: it gives the scores 1 and 3. */
  readonly onRun?: (page: Page, session: string) => readonly Tensor[];
  /** What the mesh does with a request; default: it answers with the scores 2 and 1. */
  readonly onRequest?: (page: Page) => Promise<Response>;
  /** What the way to the mesh takes, in milliseconds. */
  readonly roundTripMs?: number;
  /** What the mesh answers to a report; default: nothing. */
  readonly onReport?: (report: OutcomesRequest) => OutcomesResponse;
  /** What the mesh grants when it is asked for the nth time; default `granted`. */
  readonly grant?: (request: PlacementRequest, nth: number) => Lease;
  /** Leases that the mesh grants; it leaves further ones unanswered, or fails them with `leaseError`. */
  readonly leases?: number;
  readonly leaseError?: MeshError;
}

/** A page with real parts between a worker that answers by itself and a mesh that the test speaks for. */
export class Page {
  readonly clock = new HandClock();
  readonly network = new NetworkMeter();
  readonly events: Emitted[] = [];
  readonly sent: { readonly task: string; readonly parameters: Record<string, unknown> }[] = [];
  readonly outcomes: Outcome[] = [];
  /** What the mesh was asked for leases with. */
  readonly placements: PlacementRequest[] = [];
  readonly decisions = { total: 0, waited: 0 };
  readonly workers: AnsweringWorkers;
  readonly device: Device;
  readonly #readied: VariantSpec[] = [];
  readonly #api: Api;
  readonly #leases: Leases;
  readonly #reporter: OutcomeReporter;
  readonly #escalations = new EscalationBook();
  readonly calibrations = new CalibrationBook();

  constructor(options: PageOptions) {
    const { granted = lease(), roundTripMs = 0, leases = Number.POSITIVE_INFINITY } = options;
    let asked = 0;
    this.workers = new AnsweringWorkers((call) =>
      call.kind === 'run' ? (options.onRun?.(this, call.session) ?? [rowsOf('y', 1, 3)]) : [],
    );
    this.device = new Device({
      now: this.clock.now,
      createWorker: this.workers.create,
      engines: ['ort-wasm'],
      assetBase: undefined,
      onChange: () => undefined,
    });
    this.device.capability = { webgpu: undefined, description: 'none', architecture: 'x64', cores: 4 };
    const unused = () => Promise.reject(new Error('not used here'));
    this.#api = {
      models: unused,
      artifact: unused,
      placement: async (request) => {
        asked += 1;
        this.placements.push(request);
        if (asked > leases) {
          if (options.leaseError !== undefined) throw options.leaseError;
          return await new Promise<never>(() => undefined);
        }
        this.clock.ms += roundTripMs;
        return { placement: null, lease: options.grant?.(request, asked) ?? granted };
      },
      outcomes: async (report) => {
        this.outcomes.push(...(report.outcomes as Outcome[]));
        return options.onReport?.(report);
      },
      request: async (path, init) => {
        const { header } = readRequest(init);
        this.sent.push({ task: path, parameters: header.parameters ?? {} });
        return (await options.onRequest?.(this)) ?? edgeAnswer();
      },
    };
    this.#leases = new Leases({
      api: this.#api,
      network: this.network,
      now: this.clock.now,
      report: () => undefined,
      closing: new AbortController().signal,
    });
    this.#reporter = new OutcomeReporter(
      this.#api,
      () => ({ profiles: [], confirm: () => undefined }),
      this.#leases,
    );
  }

  /** Makes a variant ready that took `runMs` in each of 40 runs. */
  async ready(runMs: number, over: Partial<VariantSpec> = {}): Promise<void> {
    const spec = variantSpec(over);
    this.#readied.push(spec);
    const signal = new AbortController().signal;
    await this.device.load('ort-wasm', spec, { spec, files: [] }, signal);
    await this.device.add(
      'ort-wasm',
      spec,
      { downloadMs: undefined, compileMs: 10, firstRunMs: 10 },
      Array.from({ length: 40 }, () => runMs),
    );
  }

  /** Asks for one inference and then waits until its outcome is reported. */
  async infer(
    parameters: Parameters = {},
    signal = new AbortController().signal,
    inputs = [rowsOf('x', 1, 2)],
    task = taskInfo({}, [variantSpec(), ...this.#readied]),
  ) {
    const parts = {
      api: this.#api,
      // Its task never changes; `revisions.test.ts` has those that do.
      catalog: { infoFor: async () => task, isOutdated: () => false, refresh: async () => task },
      device: this.device,
      leases: this.#leases,
      network: this.network,
      outcomes: this.#reporter,
      escalations: this.#escalations,
      calibrations: this.calibrations,
      decisions: this.decisions,
      now: this.clock.now,
      emit: (type: keyof MeshEvents, detail: unknown) => void this.events.push({ type, detail }),
    };
    try {
      const answer = await inferDecided(parts, {
        task,
        inputs,
        rows: countRows(task, inputs),
        parameters,
        spec: specOf(task, parameters),
        startedAt: this.clock.ms,
        signal,
      });
      if (answer === undefined) throw new Error('Expected an answer');
      return answer;
    } finally {
      await this.#reporter.flush();
    }
  }

  /** What was emitted under a type. */
  eventsOf(type: keyof MeshEvents): unknown[] {
    return this.events.filter((event) => event.type === type).map(({ detail }) => detail);
  }
}

function readRequest(init: RequestInit) {
  const headerBytes = Number(new Headers(init.headers).get(BINARY_HEADER));
  return decodeInferRequest(init.body as Uint8Array<ArrayBuffer>, headerBytes);
}

/** What the mesh answers: the scores 2 and 1, with these facts. */
export function edgeAnswer(over: Record<string, string | number> = {}): Response {
  const facts = {
    ...EDGE,
    predicted_ms: 6,
    total_ms: 8,
    cost_usd: 1e-9,
    decision_id: 'decided-remotely',
    ...over,
  };
  const body = encodeInferResponse(
    { model_name: 'digits', parameters: facts },
    [rowsOf('y', 2, 1)],
    () => true,
  );
  return new Response(joinBody(body), { headers: { [BINARY_HEADER]: String(body.headerBytes) } });
}
