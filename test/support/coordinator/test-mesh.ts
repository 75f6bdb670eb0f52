import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createToken, type Role } from '@nearfar/coordinator';
import {
  type NodeCoordinator,
  type NodeCoordinatorOptions,
  startNodeCoordinator,
} from '@nearfar/coordinator/node';
import { expect } from 'vitest';
import { FakeWorker, type FakeWorkerOptions } from './fake-worker.ts';

/** One input of the sample task. */
export const SAMPLE_INPUT = { name: 'image', datatype: 'FP32', shape: [1, 1, 2, 2], data: [0, 1, 2, 3] };

/** A mesh in a folder of its own, with everything that a test opened in it. */
export class TestMesh {
  readonly directory: string;
  #node: NodeCoordinator;
  readonly #options: Partial<NodeCoordinatorOptions>;
  readonly #workers: FakeWorker[] = [];

  private constructor(directory: string, node: NodeCoordinator, options: Partial<NodeCoordinatorOptions>) {
    this.directory = directory;
    this.#node = node;
    this.#options = options;
  }

  static async start(options: Partial<NodeCoordinatorOptions> = {}): Promise<TestMesh> {
    const directory = await mkdtemp(join(tmpdir(), 'nearfar-mesh-'));
    return new TestMesh(directory, await startNode(directory, options), options);
  }

  get coordinator(): NodeCoordinator['coordinator'] {
    return this.#node.coordinator;
  }

  get secret(): Uint8Array {
    return this.#node.secret;
  }

  get url(): string {
    return this.#node.url;
  }

  /** Ends the mesh and starts it again in the same folder; its workers are gone. */
  async restart(): Promise<void> {
    await this.#stop();
    this.#node = await startNode(this.directory, this.#options);
  }

  async close(): Promise<void> {
    await this.#stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Dials in as a worker that holds nothing yet. */
  async dial(id: string, options?: FakeWorkerOptions): Promise<FakeWorker> {
    const tier = options?.tier ?? 'pool';
    const token = await createToken(this.#node.secret, { role: 'worker', subject: 'workers', tier });
    const worker = await FakeWorker.dial(this.url, token, id, options);
    this.#workers.push(worker);
    return worker;
  }

  /** Dials in as a worker that serves all that there is. */
  async serving(id: string, computeMs = 2, options?: FakeWorkerOptions): Promise<FakeWorker> {
    const worker = await this.dial(id, options);
    await worker.serve(computeMs);
    await expect.poll(() => this.coordinator.fleet.find(id)?.replicas().length).toBe(worker.held.size);
    return worker;
  }

  async call(path: string, init: RequestInit = {}, role: Role = 'admin'): Promise<Response> {
    const token = await createToken(this.#node.secret, { role, subject: `test-${role}` });
    const headers = { Authorization: `Bearer ${token}`, ...(init.headers as Record<string, string>) };
    return await fetch(this.url + path, { ...init, headers });
  }

  /** A JSON answer with its status, as `[status, body]`. */
  async json(path: string, init: RequestInit = {}, role: Role = 'admin'): Promise<[number, unknown]> {
    const response = await this.call(path, init, role);
    return [response.status, await response.json()];
  }

  /** Asks the sample task about `rows` inputs, by default one; gives the whole answer. */
  async infer(
    parameters: Record<string, unknown> = {},
    path = '/v2/models/sample/infer',
    inputs = [SAMPLE_INPUT],
  ) {
    const body = JSON.stringify({ inputs, parameters: { slo_ms: 5_000, ...parameters } });
    const [status, answer] = await this.json(path, { method: 'POST', body }, 'client');
    return { status, ...(answer as InferAnswer) };
  }

  async #stop(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.close()));
    await this.#node.close();
  }
}

/** What an inference answers: outputs or an error. */
interface InferAnswer {
  readonly model_version?: string;
  readonly parameters?: Readonly<Record<string, string | number | boolean>>;
  readonly outputs?: readonly { readonly name: string; readonly data: readonly number[] }[];
  readonly code?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

function startNode(
  stateDirectory: string,
  options: Partial<NodeCoordinatorOptions>,
): Promise<NodeCoordinator> {
  return startNodeCoordinator({ port: 0, stateDirectory, log: () => {}, ...options });
}
