import { readPrices } from '@nearfar/coordinator/node';
import {
  float32Tensor,
  modelsResponseSchema,
  type Prices,
  parseOrThrow,
  type VariantSpec,
} from '@nearfar/protocol';
import type { MeshPrograms } from '../bench.ts';
import { HttpCaller } from './http-caller.ts';
import { type LiveMesh, startLiveMesh } from './live-mesh.ts';
import { type LivePage, openLivePage } from './live-page.ts';
import type { Demands } from './requests.ts';

/** A live mesh with its callers. */
export interface Stage {
  readonly mesh: LiveMesh;
  readonly poolWorkers: number;
  readonly http: HttpCaller;
  readonly page: LivePage;
  readonly demands: Demands;
  /** The only variant that meets the demands. */
  readonly variant: VariantSpec;
  /** Of one request's input. */
  readonly payloadBytes: number;
  readonly prices: Prices;
}

/** What a stage is set up with. */
export interface StageOptions {
  readonly poolWorkers: number;
  /** The DevTools protocol's CPU throttling rate of the page; 1 = none. */
  readonly throttling: number;
}

const TASK = 'fashion';
/** So many pictures take a worker about a dozen milliseconds: far more than what is done around a run. */
const ROWS = 16;
/**
 * Probability with which requests are to be on time, 0 to 1. Not the usual 0.99: whether one in a hundred is late is decided by
 * the machine's rarest moments, and where requests go hangs on them for minutes.
 */
export const SLO_TARGET = 0.9;
/** Of callers over HTTP: half a dozen runs, so that the edge hands some of a burst to the pool. */
const SLO_MS = 80;
/** A page needs several times as long as a worker. */
const PAGE_SLO_MS = 500;
/**
 * Requests over which a page's download is spread. The mesh assumes 200 of one picture each; with that, the weights of the
 * largest sample model make a request of a page dearer than one at the edge, and the page would answer hardly any.
 */
const EXPECTED_REUSE = 5_000;
/** Of the pictures, all grey: what is on them does not change how long they take. */
const PIXEL = 0.5;

/** Starts a mesh and a page, and ends both when `use` has ended. */
export async function withStage<Result>(
  programs: MeshPrograms,
  { poolWorkers, throttling }: StageOptions,
  use: (stage: Stage) => Promise<Result>,
): Promise<Result> {
  const { browser, ...usual } = await readPrices();
  const prices: Prices = { ...usual, browser: { ...browser, expectedReuse: EXPECTED_REUSE } };
  const mesh = await startLiveMesh(programs, poolWorkers, prices);
  try {
    const { demands, variant } = await chooseDemands(mesh);
    const [input] = variant.inputs;
    if (input === undefined) throw new Error(`Expected ${variant.variant} to have an input`);
    const { name } = input;
    const shape = input.shape.map((dimension) => (dimension === -1 ? demands.rows : dimension));
    const pixels = shape.reduce((product, size) => product * size, 1);
    const tensor = float32Tensor(name, shape, new Float32Array(pixels).fill(PIXEL));
    const page = await openLivePage(programs, mesh.url, demands, { input: { name, shape }, throttling });
    const http = new HttpCaller(mesh.url, demands, tensor);
    try {
      const payloadBytes = tensor.data.byteLength;
      return await use({ mesh, poolWorkers, http, page, demands, variant, payloadBytes, prices });
    } finally {
      http.close();
      await page.close();
    }
  } finally {
    await mesh.close();
  }
}

/** The accuracy of the most accurate variant that workers and pages can both run, so that no other one will do. */
async function chooseDemands(mesh: LiveMesh): Promise<{ demands: Demands; variant: VariantSpec }> {
  const body = await mesh.getJson('/v1/models');
  const { models } = parseOrThrow(modelsResponseSchema, body, 'MESH_INTERNAL', 'models');
  const [variant] = (models.find(({ task }) => task === TASK)?.variants ?? [])
    .filter(({ format }) => format === 'onnx')
    .toSorted((a, b) => b.accuracy.value - a.accuracy.value);
  if (variant === undefined) throw new Error(`Expected the sample task "${TASK}" to have an ONNX variant`);
  const minAccuracy = variant.accuracy.value;
  return {
    variant,
    demands: {
      task: TASK,
      minAccuracy,
      rows: ROWS,
      sloTarget: SLO_TARGET,
      sloMs: SLO_MS,
      pageSloMs: PAGE_SLO_MS,
    },
  };
}
