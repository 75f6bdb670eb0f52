import { createMesh, type EngineName, type Mesh } from '@nearfar/client';
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
      readonly accuracy: number;
      readonly predictedMs: number;
      readonly totalMs: number;
      readonly costUsd: number;
    }
  | { readonly status: 'failed'; readonly code: string; readonly message: string };

/** What a page offers to the program that drives it. */
export interface Driver {
  /** Opens the mesh that this page came from; `engines` as in the SDK's own options. */
  open(token: string, engines?: readonly EngineName[]): Mesh;
  /** Makes the page's device ready for the tasks; gives a sentence on what it runs on. */
  prepare(tasks: readonly string[]): Promise<string>;
  call(request: DriverRequest): Promise<DriverResult>;
  /** The open mesh. */
  readonly mesh: Mesh;
}

declare global {
  var nearfarDriver: Driver;
}

let opened: Mesh | undefined;

globalThis.nearfarDriver = {
  open(token, engines) {
    opened = createMesh({ endpoint: location.origin, token, engines, assetBase: '/assets/ort/' });
    return opened;
  },

  get mesh() {
    if (opened === undefined) throw new Error('Expected open() to be called first');
    return opened;
  },

  async prepare(tasks) {
    for (const task of tasks) await this.mesh.prepare(task);
    const { device, ready } = this.mesh.status();
    const variants = ready.map(({ task, variant, engine }) => `${task}/${variant} by ${engine}`);
    return `${device?.deviceClass} (WebGPU: ${device?.webgpu}), ready: ${variants.join(', ')}`;
  },

  async call({ task, name, shape, values, ...demands }) {
    try {
      const input = float32Tensor(name, shape, Float32Array.from(values));
      const answer = await this.mesh.infer(task, input, demands);
      const [output] = answer.outputs;
      const { tier, variant, accuracy, predictedMs, clientMs, costUsd } = answer.placement;
      const scores = output === undefined ? [] : Array.from(float32Values(output));
      return {
        status: 'answered',
        tier,
        variant,
        scores,
        accuracy,
        predictedMs,
        totalMs: clientMs,
        costUsd,
      };
    } catch (error) {
      const code = error instanceof MeshError ? error.code : 'MESH_INTERNAL';
      return { status: 'failed', code, message: error instanceof Error ? error.message : String(error) };
    }
  },
};
