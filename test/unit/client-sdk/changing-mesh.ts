import {
  BINARY_HEADER,
  decodeInferRequest,
  encodeInferResponse,
  float32Values,
  joinBody,
  type Lease,
  type MeshError,
  type TaskInfo,
} from '@nearfar/protocol';
import { artifactOf, lease, rowsOf, taskInfo, variantSpec } from './builders.ts';

/** The only file of every variant. */
export const FILE = Uint8Array.of(1, 2, 3);
/** A price on the visitor's energy that makes any remote place cheaper. */
const DEAR_ENERGY = { energyPicoUsdPerMs: 1e9, artifactPicoUsdPerByte: 0, expectedReuse: 1 };

/** A revision of the task. The worker that reads pictures gives the rule's `mean` for every pixel. */
export function revisionOf(
  revision: number,
  {
    mean = 0.5,
    variantRevision = 1,
    ...over
  }: Partial<TaskInfo> & { mean?: number; variantRevision?: number } = {},
): TaskInfo {
  const rule = {
    kind: 'image',
    input: 'x',
    width: 2,
    height: 1,
    channels: 'grayscale',
    layout: 'NCHW',
  } as const;
  const preprocess = { ...rule, invert: 'never', center: 'box' } as const;
  return taskInfo({ preprocess: { ...preprocess, mean: [mean], std: [1] }, revision, ...over }, [
    variantSpec({ revision: variantRevision, artifacts: [artifactOf(FILE)] }),
  ]);
}

/** The mesh at the other end of `fetch`: its active revision, and the one that answers the next request. */
export class ChangingMesh {
  active: TaskInfo = revisionOf(1);
  answering: number | undefined;
  granted: Lease = lease({ prices: DEAR_ENERGY });
  /** How often the tasks were read. */
  reads = 0;
  leases = 0;
  /** What keeps reads from being answered, and leases. */
  gate: Promise<void> = Promise.resolve();
  leaseGate: Promise<void> = Promise.resolve();
  /** What each request to the mesh brought. */
  readonly received: number[][] = [];
  onInfer: () => void = () => undefined;

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const path = new URL(url).pathname;
    if (path === '/v1/models') {
      this.reads += 1;
      const { active } = this;
      await this.gate;
      return Response.json({ models: [active] });
    }
    if (path === '/v1/placements') {
      this.leases += 1;
      await this.leaseGate;
      return Response.json({ placement: null, lease: this.granted });
    }
    if (path === '/v1/outcomes') return new Response(null, { status: 204 });
    if (path.startsWith('/v1/artifacts/')) return new Response(FILE);
    return this.#infer(init);
  };

  #infer(init: RequestInit): Response {
    const bytes = Number(new Headers(init.headers).get(BINARY_HEADER));
    const { tensors } = decodeInferRequest(init.body as Uint8Array<ArrayBuffer>, bytes);
    this.received.push(tensors.flatMap((tensor) => [...float32Values(tensor)]));
    try {
      this.onInfer();
    } catch (error) {
      return Response.json((error as MeshError).toBody(), { status: 400 });
    }
    const parameters = {
      ...{ tier: 'edge', variant: 'tiny-fp32-onnx', worker: 'edge-1', accuracy: 0.9, predicted_ms: 6 },
      ...{ total_ms: 0, cost_usd: 1e-9, decision_id: 'far' },
      revision: this.answering ?? this.active.revision,
    };
    const body = encodeInferResponse({ model_name: 'digits', parameters }, [rowsOf('y', 2, 1)], () => true);
    return new Response(joinBody(body), { headers: { [BINARY_HEADER]: String(body.headerBytes) } });
  }
}
