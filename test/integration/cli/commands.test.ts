import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { samplePath } from '../../support/infer.ts';
import { type MeshProcess, startMeshProcess } from '../../support/mesh-process.ts';
import { runNearfar } from '../../support/run-nearfar.ts';

let mesh: MeshProcess;
let place: string[];

beforeAll(async () => {
  mesh = await startMeshProcess(['--pool-workers', '0', '--plan-every', '0.5']);
  await mesh.ready(1);
  place = ['--url', mesh.url, '--state', mesh.stateDirectory];
}, 120_000);

afterAll(async () => {
  await mesh?.close();
});

/** A server that gives everyone the same answer and counts how often it was asked. */
async function answering(status: number, type: string, body: string) {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    response.writeHead(status, { 'Content-Type': type }).end(body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, asked: () => asked, close: () => server.close() };
}

/** The last characters of a signature hold unused bits, so that another one there may say the same. */
function withOtherSignature(token: string): string {
  const middle = token.lastIndexOf('.') + 20;
  const other = token[middle] === 'A' ? 'B' : 'A';
  return `${token.slice(0, middle)}${other}${token.slice(middle + 1)}`;
}

describe('plan', () => {
  test('prints the newest plan', async () => {
    const newest = async () => {
      const { stdout } = await runNearfar(['plan', '--json', ...place]);
      return JSON.parse(stdout).plan?.epoch ?? 0;
    };
    await expect.poll(newest, { timeout: 30_000 }).toBeGreaterThan(0);
    const { code, stdout } = await runNearfar(['plan', ...place]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^plan\s+made +[\d.]+ s ago by the (solver|greedy)/);
    expect(stdout).toContain('workers of');
  }, 60_000);

  test('says so where there is none yet', async () => {
    const server = await answering(200, 'application/json', '{"plan":null}');
    const { code, stdout } = await runNearfar(['plan', '--url', server.url, '--token', 'any']);
    server.close();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^There is no plan yet/);
  });
});

describe('infer', () => {
  test('prints the answer, and where it ran', async () => {
    const { code, stdout } = await runNearfar([
      'infer',
      'digits',
      '--file',
      samplePath('digits', 'seven'),
      ...place,
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^label\s+score\n7 /);
    expect(stdout).toContain('edge');
  });

  test('--json prints only JSON, with the explanation when it is asked for', async () => {
    const args = [
      'infer',
      'digits',
      '--file',
      samplePath('digits', 'seven'),
      '--explain',
      '--json',
      ...place,
    ];
    const { code, stdout } = await runNearfar(args);
    expect(code).toBe(0);
    const answer = JSON.parse(stdout) as {
      predictions: { label: string }[];
      placement: { variant: string };
      explanation: { candidates: { verdict: string; variant: string }[] };
    };
    expect(answer.predictions[0]?.label).toBe('7');
    const chosen = answer.explanation.candidates.find(({ verdict }) => verdict === 'chosen');
    expect(chosen?.variant).toBe(answer.placement.variant);
  });

  test('a refusal ends with 1 and says what would have been feasible', async () => {
    const args = ['infer', 'digits', '--file', samplePath('digits', 'seven'), '--max-cost-usd', '1e-15'];
    const { code, stdout, stderr } = await runNearfar([...args, '--json', ...place]);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain('MESH_NO_FEASIBLE_PLACEMENT');
    expect(stderr).toContain('"max_cost_usd"');
  });

  test('local_only is refused before anything is sent', async () => {
    const server = await answering(200, 'application/json', '{}');
    const args = ['infer', 'digits', '--file', samplePath('digits', 'seven'), '--privacy', 'local_only'];
    const { code, stderr } = await runNearfar([...args, '--url', server.url, '--token', 'any']);
    expect(code).toBe(1);
    expect(stderr).toContain('MESH_NO_FEASIBLE_PLACEMENT');
    expect(server.asked()).toBe(0);
    server.close();
  });

  test('a server that is no mesh is called so', async () => {
    const server = await answering(404, 'text/html', '<!doctype html>');
    const args = ['infer', 'digits', '--file', samplePath('digits', 'seven'), '--url', server.url];
    const { code, stderr } = await runNearfar([...args, '--token', 'any']);
    expect(code).toBe(1);
    expect(stderr).toContain('got HTTP 404 with text/html: it does not look like a mesh');
    server.close();
  });

  test.each([
    [['infer', 'digits', '--file', 'nothing.png'], 1, 'nothing.png'],
    [['infer', 'digits', '--file', 'notes.txt'], 2, '.png'],
    [['infer', 'digits', '--file', 'speech.wav'], 2, '.png'],
    [['infer', 'nothing', '--file', samplePath('digits', 'seven')], 1, 'MESH_UNKNOWN_TASK'],
    [['infer', 'digits', '--file', samplePath('digits', 'seven'), '--slo-ms', 'soon'], 2, '"soon"'],
    [['infer', 'digits', '--file', samplePath('digits', 'seven'), '--slo-ms', '0'], 2, '"0"'],
    [['infer', 'digits'], 2, '--file'],
    [['models', '--url', 'mesh.example'], 2, '"mesh.example"'],
    [['worker', '--join', 'ftp://mesh.example', '--token', 'any'], 2, '"ftp://mesh.example"'],
    [['up', '--allow-origin', 'https://shop.example/'], 2, '"https://shop.example/"'],
    [['fly'], 2, 'fly'],
  ])('%j ends with %i', async (args, expected, mentioned) => {
    const { code, stdout, stderr } = await runNearfar(args[0] === 'infer' ? [...args, ...place] : args);
    expect(code, stderr).toBe(expected);
    expect(stdout).toBe('');
    expect(stderr).toContain(mentioned);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe('models', () => {
  test('--json lists tasks with their variants, tiers and accuracies', async () => {
    const { code, stdout } = await runNearfar(['models', '--json', ...place]);
    expect(code).toBe(0);
    const tasks = JSON.parse(stdout) as {
      task: string;
      variants: { variant: string; format: string; tiers: string[]; accuracy: number }[];
    }[];
    expect(tasks.map(({ task }) => task)).toEqual(['digits', 'fashion']);
    const tiny = tasks[0]?.variants.find(({ variant }) => variant === 'tiny-fp32-onnx');
    expect(tiny).toMatchObject({ format: 'onnx', tiers: ['browser', 'edge', 'pool'] });
    expect(tiny?.accuracy).toBeGreaterThan(0.9);
  });

  test('reads the local store when no mesh answers, and says so', async () => {
    const nobody = ['--url', 'http://127.0.0.1:9', '--state', mesh.stateDirectory];
    const { code, stdout, stderr } = await runNearfar(['models', 'digits', '--json', ...nobody]);
    expect(code).toBe(0);
    expect(stderr).toContain('No mesh answers');
    const online = await runNearfar(['models', 'digits', '--json', ...place]);
    // What things cost is not known where nothing runs them, and live measurements go on meanwhile.
    const facts = (text: string) =>
      JSON.parse(text, (key, value) =>
        ['costs', 'samples', 'p50Ms', 'p99Ms', 'dominatedBy'].includes(key) ? undefined : value,
      );
    expect(facts(stdout)).toEqual(facts(online.stdout));
    expect(stdout).toContain('p50Ms');
  });

  test('an unknown task ends with 1 and names the known ones', async () => {
    const { code, stderr } = await runNearfar(['models', 'cats', ...place]);
    expect(code).toBe(1);
    expect(stderr).toContain('digits, fashion');
  });
});

describe('token', () => {
  test('makes a token that the mesh takes, with its role and no other', async () => {
    const state = ['--state', mesh.stateDirectory];
    const { code, stdout } = await runNearfar(['token', 'create', '--role', 'worker', '--json', ...state]);
    expect(code).toBe(0);
    const { token, role } = JSON.parse(stdout) as { token: string; role: string };
    expect(role).toBe('worker');
    const asWorker = await fetch(`${mesh.url}/v1/workers`, { headers: { Authorization: `Bearer ${token}` } });
    expect(asWorker.status).toBe(200);
    const changed = await fetch(`${mesh.url}/v1/workers`, {
      headers: { Authorization: `Bearer ${withOtherSignature(token)}` },
    });
    expect(changed.status).toBe(401);
  });

  test('a missing role is wrong usage', async () => {
    expect((await runNearfar(['token', 'create'])).code).toBe(2);
  });
});

describe('a folder in which no mesh ran', () => {
  const nowhere = () => join(mesh.stateDirectory, 'nowhere');
  const nobody = ['--url', 'http://127.0.0.1:9'];

  test.each([
    ['infer', () => ['infer', 'digits', '--file', samplePath('digits', 'seven'), '--url', mesh.url]],
    ['models', () => ['models', '--url', mesh.url]],
    ['token create', () => ['token', 'create', '--role', 'client']],
  ])('%s says that it holds no secret, and makes none', async (_name, args) => {
    const { code, stdout, stderr } = await runNearfar([...args(), '--state', nowhere()]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`No secret in "${nowhere()}": run this where "nearfar up" ran`);
    expect(existsSync(nowhere())).toBe(false);
  });

  test('models does not take it for a mesh without tasks', async () => {
    const { code, stdout, stderr } = await runNearfar(['models', '--json', ...nobody, '--state', tmpdir()]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('No mesh answers');
  });
});

describe('up', () => {
  test('prints lines that work as they are', async () => {
    const [, command] = /curl {5}(curl .*)/.exec(mesh.printed()) ?? [];
    if (command === undefined) throw new Error(`Expected a curl line in:\n${mesh.printed()}`);
    const { stdout } = await promisify(execFile)('sh', ['-c', command]);
    expect((JSON.parse(stdout) as { predictions: { label: string }[] }).predictions[0]?.label).toBe('7');
  });

  test('says which port is taken and how to mend it', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const state = join(mesh.stateDirectory, 'other');
    const { code, stderr } = await runNearfar(['up', '--state', state, '--pool-workers', '0'], {
      PORT: String(port),
    });
    server.close();
    expect(code).toBe(1);
    expect(stderr).toContain(`Port ${port} is taken`);
  });
});

describe('up for other machines and other pages', () => {
  let open: MeshProcess;

  beforeAll(async () => {
    const origins = ['--allow-origin', 'https://shop.example', 'https://news.example'];
    open = await startMeshProcess(['--pool-workers', '0', '--host', '0.0.0.0', ...origins]);
  });

  afterAll(async () => {
    await open?.close();
  });

  test('prints an address of this machine where it listens on every interface', () => {
    expect(/https?:\S+/.exec(open.printed())?.[0]).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  test.each([
    ['https://shop.example', 'https://shop.example'],
    ['https://news.example', 'https://news.example'],
    ['https://other.example', null],
  ])('pages of %s are allowed as %s', async (origin, allowed) => {
    const response = await fetch(`${open.url}/v2/health/live`, { headers: { Origin: origin } });
    expect(response.headers.get('Access-Control-Allow-Origin')).toBe(allowed);
  });
});

describe('worker', () => {
  test('a wrong token ends it with 1 and the reason', async () => {
    const { code, stderr } = await runNearfar(['worker', '--join', mesh.url, '--device', 'cpu'], {
      NEARFAR_TOKEN: 'wrong',
    });
    expect(code).toBe(1);
    expect(stderr).toContain('MESH_UNAUTHENTICATED');
  });

  test('no token at all is said before anything starts', async () => {
    const { code, stderr } = await runNearfar(['worker', '--join', mesh.url], { NEARFAR_TOKEN: '' });
    expect(code).toBe(2);
    expect(stderr).toContain('nearfar token create --role worker');
  });
});

describe('help', () => {
  test('--version prints the version of the package', async () => {
    const { code, stdout } = await runNearfar(['--version']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test.each(['up', 'demo', 'infer', 'models', 'worker', 'token'])(
    '%s --help tells of its options',
    async (name) => {
      const { code, stdout } = await runNearfar([name, '--help']);
      expect(code).toBe(0);
      expect(stdout).toContain(`Usage: nearfar ${name}`);
    },
  );
});
