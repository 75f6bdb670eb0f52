import { Sketch } from '@nearfar/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inferGolden, readGolden, saturatingDemands } from '../../support/golden.ts';
import { inferPicture, samplePath } from '../../support/infer.ts';
import { type MeshProcess, startMeshProcess, waitFor } from '../../support/mesh-process.ts';

let mesh: MeshProcess;

beforeAll(async () => {
  mesh = await startMeshProcess(['--pool-workers', '1']);
  await mesh.ready(2);
}, 120_000);

afterAll(async () => {
  await mesh?.close();
});

describe('the choice moves as it should', () => {
  test.each([
    ['digits', 'seven', '7'],
    ['fashion', 'trouser', 'Trouser'],
  ] as const)('%s: the sample picture %s is a %s', async (task, name, label) => {
    const { status, body } = await inferPicture(mesh, { slo_ms: 500 }, samplePath(task, name), task);
    expect(status).toBe(200);
    expect(body.predictions?.[0]?.label).toBe(label);
    expect(body.placement?.cost_usd).toBeGreaterThan(0);
  });

  test('higher accuracy takes a larger variant', async () => {
    const models = (await mesh.get('/v1/models')) as {
      models: { task: string; variants: { model: string; accuracy: { value: number } }[] }[];
    };
    const variants = models.models.find((entry) => entry.task === 'fashion')?.variants ?? [];
    const small = variants.find((entry) => entry.model === 'small')?.accuracy.value;
    const ask = async (minAccuracy: number) => {
      const query = { slo_ms: 1_000, min_accuracy: minAccuracy };
      const { body } = await inferPicture(mesh, query, samplePath('fashion', 'trouser'), 'fashion');
      return body.placement?.variant;
    };
    expect(await ask(0)).toBe('tiny-fp32-onnx');
    expect(await ask(small ?? 0)).toBe('small-fp32-onnx');
  });

  test('a cost cap that is too low is refused, saying what would have been feasible', async () => {
    const { status, body } = await inferPicture(mesh, { slo_ms: 1_000, max_cost_usd: 1e-12 });
    expect(status).toBe(422);
    expect(body.code).toBe('MESH_NO_FEASIBLE_PLACEMENT');
    const nearest = body.details?.nearest as { max_cost_usd?: number };
    expect(nearest.max_cost_usd).toBeGreaterThan(1e-12);
    const again = await inferPicture(mesh, { slo_ms: 1_000, max_cost_usd: (nearest.max_cost_usd ?? 0) * 2 });
    expect(again.status).toBe(200);
  });

  test('every candidate is listed with its parts, its cost and why not', async () => {
    const { body } = await inferPicture(mesh, { slo_ms: 500, min_accuracy: 0.5 });
    const decision = (await mesh.get(`/v1/decisions/${body.placement?.decision_id}`)) as {
      candidates: {
        worker: string;
        variant: string;
        verdict: string;
        parts: object;
        costUsd: number;
        reasons: unknown[];
      }[];
      outcome: { status: string };
    };
    const listed = decision.candidates.map(({ worker, variant }) => `${worker} ${variant}`);
    const workers = await mesh.workers();
    const expected = workers.flatMap(({ workerId }) =>
      ['large-fp32-onnx', 'small-fp32-onnx', 'small-fp32-tfjs', 'tiny-fp32-onnx', 'tiny-fp32-tfjs'].map(
        (variant) => `${workerId} ${variant}`,
      ),
    );
    expect(listed.sort()).toEqual(expected.sort());
    expect(decision.candidates.filter((candidate) => candidate.verdict === 'chosen')).toHaveLength(1);
    for (const candidate of decision.candidates) {
      expect(Object.keys(candidate.parts).sort()).toEqual(['compute', 'load', 'network', 'queue']);
      expect(candidate.costUsd).toBeGreaterThan(0);
      if (candidate.verdict === 'infeasible') expect(candidate.reasons.length).toBeGreaterThan(0);
    }
    expect(decision.outcome.status).toBe('ok');
  });

  test('a higher target takes a placement with a smaller predicted tail', async () => {
    const deviceClass = 'webgpu:test-device';
    // Measured as a page would: mostly half a millisecond, now and then a long pause.
    const sketch = new Sketch();
    for (let index = 0; index < 200; index += 1) sketch.add(index % 50 === 0 ? 120 : 0.5);
    const report = { task: 'digits', variant: 'tiny-fp32-tfjs', revision: 1, deviceClass, batch: 1 };
    const profile = { ...report, epoch: 'page-1', version: 1, computeMs: sketch.toData() };
    await post('/v1/outcomes', { outcomes: [], profiles: [profile] });
    const ask = async (sloTarget: number) => {
      const answer = await post('/v1/placements', {
        task: 'digits',
        parameters: { slo_ms: 60, slo_target: sloTarget },
        payloadBytes: 3_136,
        device: { deviceClass, ready: [{ variant: 'tiny-fp32-tfjs', revision: 1 }] },
        network: { rtt: { meanMs: 15, varianceMs2: 4 } },
      });
      return (answer as { placement: { tier: string; decision_id: string } }).placement;
    };
    expect((await ask(0.9)).tier).toBe('browser');
    const strict = await ask(0.9999);
    expect(strict.tier).not.toBe('browser');
    const { candidates } = (await mesh.get(`/v1/decisions/${strict.decision_id}`)) as {
      candidates: { tier: string; verdict: string; tailMs: number; predictedMs: number }[];
    };
    const page = candidates.find(({ tier }) => tier === 'browser');
    const chosen = candidates.find(({ verdict }) => verdict === 'chosen');
    // The page is the faster one on average; its tail is what rules it out.
    expect(page?.predictedMs).toBeLessThan(chosen?.predictedMs ?? 0);
    expect(page?.tailMs).toBeGreaterThan(chosen?.tailMs ?? Number.POSITIVE_INFINITY);
  });

  test('a saturated edge sends requests on to the pool, and every answer is right', async () => {
    const golden = await readGolden('fashion', 'large');
    const parameters = await saturatingDemands(mesh);
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => inferGolden(mesh, 'fashion', golden, parameters)),
    );
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    const tiers = new Set(answers.map((answer) => ('tier' in answer ? answer.tier : 'none')));
    expect(tiers).toEqual(new Set(['edge', 'pool']));
  });

  test('a pool worker that is killed loses no request: each is answered elsewhere or ends with a typed error', async () => {
    const golden = await readGolden('fashion', 'large');
    const parameters = await saturatingDemands(mesh);
    const [processId] = mesh.poolProcessIds();
    if (processId === undefined) throw new Error('Expected the mesh to have a pool worker process');
    const pool = async () => (await mesh.workers()).find(({ tier }) => tier === 'pool');
    // Stopped first: however fast the machine, it cannot finish what it is given before it is killed.
    process.kill(processId, 'SIGSTOP');
    const burst = Array.from({ length: 60 }, () => inferGolden(mesh, 'fashion', golden, parameters));
    await waitFor('the pool worker to have work', async () => ((await pool())?.inFlight ?? 0) > 0);
    process.kill(processId, 'SIGKILL');
    const answers = await Promise.all(burst);
    for (const answer of answers) {
      if ('body' in answer) expect(answer.body.code).toMatch(/^MESH_/);
    }
    expect(answers.filter((answer) => answer.status === 200).length).toBeGreaterThan(50);
    const { decisions } = (await mesh.get('/v1/decisions?limit=60')) as {
      decisions: { attempts: { worker: string; code?: string }[]; outcome?: { status: string } }[];
    };
    const held = decisions.filter(({ attempts }) => attempts.some(({ code }) => code === 'MESH_WORKER_LOST'));
    const answered = held.filter(({ outcome }) => outcome?.status === 'ok');
    expect(answered.length).toBeGreaterThan(0);
    for (const { attempts } of answered) expect(attempts.at(-1)?.worker).toBe('edge-1');
    await waitFor('the pool worker to be gone', async () =>
      (await mesh.workers()).every(({ tier }) => tier === 'edge'),
    );
    expect((await inferPicture(mesh)).body.placement?.tier).toBe('edge');
  });
});

async function post(path: string, body: unknown): Promise<unknown> {
  const response = await fetch(`${mesh.url}${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${mesh.token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
  return await response.json();
}
