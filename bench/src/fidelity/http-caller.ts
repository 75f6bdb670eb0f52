import { Agent, request as httpRequest } from 'node:http';
import {
  BINARY_HEADER,
  decodeInferResponse,
  encodeInferRequest,
  joinBody,
  parseBinaryHeader,
  type Tensor,
} from '@nearfar/protocol';
import type { Demands, EndedRequest } from './requests.ts';

/** What came of a request over plain HTTP. */
export type HttpResult = Pick<EndedRequest, 'latencyMs' | 'tier' | 'serviceMs' | 'queueMs'>;

/** Makes the same request again and again over plain HTTP, with as little work of its own as can be. */
export class HttpCaller {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #url: URL;
  readonly #body: Uint8Array;
  readonly #headerBytes: number;

  constructor(url: string, { task, sloMs, sloTarget, minAccuracy }: Demands, input: Tensor) {
    const parameters = {
      slo_ms: sloMs,
      slo_target: sloTarget,
      min_accuracy: minAccuracy,
      binary_data_output: true,
    };
    const body = encodeInferRequest({ parameters }, [input]);
    this.#url = new URL(`${url}/v2/models/${task}/infer`);
    this.#body = joinBody(body);
    this.#headerBytes = body.headerBytes ?? 0;
  }

  /** Never rejects: a request that fails has no tier. */
  call(): Promise<HttpResult> {
    const startedAt = performance.now();
    const failed = (): HttpResult => ({ latencyMs: performance.now() - startedAt, tier: undefined });
    return new Promise((resolve) => {
      const request = httpRequest(
        this.#url,
        {
          method: 'POST',
          agent: this.#agent,
          headers: {
            'Content-Type': 'application/octet-stream',
            'Content-Length': this.#body.byteLength,
            [BINARY_HEADER]: String(this.#headerBytes),
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', () => resolve(failed()));
          response.on('end', () => {
            const latencyMs = performance.now() - startedAt;
            if (response.statusCode !== 200) {
              resolve(failed());
              return;
            }
            const headerBytes = response.headers[BINARY_HEADER.toLowerCase()];
            const { header } = decodeInferResponse(
              Buffer.concat(chunks),
              parseBinaryHeader(typeof headerBytes === 'string' ? headerBytes : undefined),
            );
            const { tier, compute_ms: computeMs, queue_ms: queueMs } = header.parameters ?? {};
            resolve({
              latencyMs,
              tier: tier === 'edge' || tier === 'pool' ? tier : undefined,
              ...(typeof computeMs === 'number' && { serviceMs: computeMs }),
              ...(typeof queueMs === 'number' && { queueMs }),
            });
          });
        },
      );
      request.on('error', () => resolve(failed()));
      request.end(this.#body);
    });
  }

  /** Closes its connections. */
  close(): void {
    this.#agent.destroy();
  }
}
