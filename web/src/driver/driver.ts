import { createMesh, type Mesh } from '@nearfar/client';
import { float32Tensor, float32Values, MeshError, type Tier } from '@nearfar/protocol';

/** One call from outside the page, as plain data. */
export interface DriverRequest {
  readonly task: string;
  /** Name of the input tensor. */
  readonly name: string;
  readonly shape: number[];
  readonly values: number[];
  readonly sloMs: number;
  readonly minAccuracy: number;
  readonly privacy: 'any' | 'no_pool' | 'local_only';
}

/** What came of it, as plain data. */
export type DriverResult =
  | {
      readonly status: 'answered';
      readonly tier: Tier;
      readonly variant: string;
      readonly scores: number[];
      readonly predictedMs: number;
      readonly totalMs: number;
      readonly costUsd: number;
    }
  | { readonly status: 'failed'; readonly code: string; readonly message: string };

/** What a page offers to the program that drives it. */
export interface Driver {
  /** Makes the page's device ready for the tasks; gives a sentence on what it runs on. */
  prepare(token: string, tasks: readonly string[]): Promise<string>;
  call(request: DriverRequest): Promise<DriverResult>;
}

declare global {
  var nearfarDriver: Driver;
}

let mesh: Mesh | undefined;

globalThis.nearfarDriver = {
  async prepare(token, tasks) {
    mesh = createMesh({ endpoint: location.origin, token, assetBase: '/assets/ort/' });
    for (const task of tasks) await mesh.prepare(task);
    return JSON.stringify(mesh.status());
  },

  async call({ task, name, shape, values, ...demands }) {
    try {
      if (mesh === undefined) throw new Error('Expected prepare() to be called first');
      const answer = await mesh.infer(task, float32Tensor(name, shape, Float32Array.from(values)), demands);
      const [output] = answer.outputs;
      const { tier, variant, predictedMs, clientMs, costUsd } = answer.placement;
      const scores = output === undefined ? [] : Array.from(float32Values(output));
      return { status: 'answered', tier, variant, scores, predictedMs, totalMs: clientMs, costUsd };
    } catch (error) {
      const code = error instanceof MeshError ? error.code : 'MESH_INTERNAL';
      return { status: 'failed', code, message: error instanceof Error ? error.message : String(error) };
    }
  },
};
