import { Tensor } from 'onnxruntime-node';
import type { ProbeResult, Provider } from '../engine-messages.ts';
import { createSession } from './onnx-session.ts';
import { PROBE_SIDE, probeModel } from './probe-model.ts';

const WARM_UPS = 2;
const RUNS = 5;

/** Really runs the probe model, and gives the median of a few runs after the first ones. */
export async function probe(provider: Provider, threads: number): Promise<ProbeResult> {
  const session = await createSession(probeModel(), provider, threads);
  try {
    const matrix = new Tensor('float32', new Float32Array(PROBE_SIDE * PROBE_SIDE).fill(0.5), [
      PROBE_SIDE,
      PROBE_SIDE,
    ]);
    const times: number[] = [];
    for (let run = 0; run < WARM_UPS + RUNS; run++) {
      const startedAt = performance.now();
      const { y } = await session.run({ a: matrix, b: matrix });
      const [first] = (y?.data ?? []) as Float32Array;
      times.push(performance.now() - startedAt);
      if (first === undefined || Math.abs(first - PROBE_SIDE / 4) > 1) {
        throw new Error(`the probe should give ${PROBE_SIDE / 4}, got ${first}`);
      }
    }
    const measured = times.slice(WARM_UPS).sort((a, b) => a - b);
    return { runMs: measured[Math.floor(measured.length / 2)] ?? 0 };
  } finally {
    await session.release();
  }
}
