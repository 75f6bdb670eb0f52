import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../../support/mesh-process.ts';

const execute = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PACKAGES = [
  'protocol',
  'core',
  'coordinator',
  'worker',
  'register',
  'edge',
  'gpu-pool',
  'client-sdk',
  'bench',
  'cli',
];
/** What the build reads; tests and other folders stay out, so that they cannot be needed. */
const BUILD_INPUTS = [
  ...PACKAGES,
  'web',
  'models',
  'scripts',
  'package.json',
  'tsconfig.base.json',
  'LICENSE',
  'README.md',
];
const BUILD_WITHIN_MS = 180_000;

let folder: string;
/** Where the packed packages were put, as npm would put them. */
let installed: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearfar-published-'));
  // A build empties the dist folders, which others may be using; so it gets a tree of its own.
  const tree = await copyTree(join(folder, 'tree'));
  await execute(process.execPath, ['scripts/build.ts'], { cwd: tree });
  const tarballs = join(folder, 'tarballs');
  await mkdir(tarballs);
  const built = PACKAGES.map((name) => join(tree, name, 'dist'));
  await execute('npm', ['pack', ...built, '--pack-destination', tarballs], { cwd: folder });
  installed = join(folder, 'installed');
  for (const tarball of await readdir(tarballs)) await install(join(tarballs, tarball));
}, BUILD_WITHIN_MS);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** The sources with the packages of others linked, and its own by name as npm links workspaces. */
async function copyTree(tree: string): Promise<string> {
  const isSource = (path: string) => !/[/\\](node_modules|dist|__pycache__)$/.test(path);
  for (const path of BUILD_INPUTS) {
    await cp(join(ROOT, path), join(tree, path), { recursive: true, filter: isSource });
  }
  for (const place of ['', ...PACKAGES]) {
    const modules = join(ROOT, place, 'node_modules');
    if (existsSync(modules)) await linkModules(modules, join(tree, place, 'node_modules'));
  }
  for (const place of [...PACKAGES, 'web']) {
    const { name } = await readManifest(join(tree, place));
    await link(join(tree, place), join(tree, 'node_modules', name));
  }
  return tree;
}

async function linkModules(from: string, to: string): Promise<void> {
  const names = await readdir(from);
  for (const name of names.filter((entry) => !entry.startsWith('.'))) {
    // Scopes are folders of packages; our own packages are those of the copy.
    if (name === '@nearfar' || name === 'nearfar') continue;
    await link(join(from, name), join(to, name));
  }
}

/** Puts a tarball where npm would, with links to the packages of others that it declares and to no more. */
async function install(tarball: string): Promise<void> {
  const unpacked = await mkdtemp(join(folder, 'unpacked-'));
  await execute('tar', ['-xzf', tarball, '-C', unpacked]);
  const { name, dependencies = {} } = await readManifest(join(unpacked, 'package'));
  const target = join(installed, 'node_modules', name);
  await cp(join(unpacked, 'package'), target, { recursive: true });
  for (const dependency of Object.keys(dependencies).filter((entry) => !entry.startsWith('@nearfar/'))) {
    await link(findModule(dependency), join(target, 'node_modules', dependency));
  }
}

/** Some versions that only one package wants lie in a folder of that package. */
function findModule(name: string): string {
  const places = ['', ...PACKAGES].map((place) => join(ROOT, place, 'node_modules', name));
  const found = places.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`Expected ${name} to be installed in the repository`);
  return found;
}

async function link(target: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await symlink(target, path, 'junction');
}

interface PublishedManifest {
  readonly name: string;
  readonly version: string;
  readonly bin: { readonly nearfar: string };
  readonly dependencies?: Readonly<Record<string, string>>;
}

async function readManifest(place: string): Promise<PublishedManifest> {
  return JSON.parse(await readFile(join(place, 'package.json'), 'utf8'));
}

async function launcher(): Promise<string> {
  const place = join(installed, 'node_modules', 'nearfar');
  const { bin } = await readManifest(place);
  return join(place, bin.nearfar);
}

test('packages depend on each other only as far as they are published', async () => {
  const manifests = await Promise.all(
    PACKAGES.map((name) => readManifest(join(folder, 'tree', name, 'dist'))),
  );
  const published = new Set(manifests.map(({ name }) => name));
  const wanted = manifests.flatMap(({ dependencies = {} }) => Object.keys(dependencies));
  expect(wanted.filter((name) => name.startsWith('@nearfar/') && !published.has(name))).toEqual([]);
});

test('the installed command tells its options and its version', async () => {
  const help = await execute(process.execPath, [await launcher(), '--help'], { cwd: installed });
  expect(help.stdout).toContain('Usage: nearfar');
  const version = await execute(process.execPath, [await launcher(), '--version'], { cwd: installed });
  expect(version.stdout.trim()).toBe((await readManifest(join(ROOT, 'cli'))).version);
});

test('the installed command serves its sample tasks and its pages', async () => {
  const args = ['up', '--port', '0', '--pool-workers', '1', '--quiet'];
  const mesh = spawn(process.execPath, [await launcher(), ...args], {
    cwd: installed,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(mesh, 'exit');
  let errors = '';
  mesh.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  try {
    let printed = '';
    for await (const text of mesh.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
      printed += text;
      if (printed.includes('curl ')) break;
    }
    mesh.stdout.resume();
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(printed)?.[0];
    expect(url, `${printed}\n${errors}`).toBeDefined();
    expect((await fetch(`${url}/v2/health/ready`)).status).toBe(200);
    expect((await fetch(`${url}/demo`)).headers.get('Content-Type')).toContain('text/html');

    const token = /console\s+\S+token=(\S+)/.exec(printed)?.[1];
    await waitFor('the pool worker', async () => {
      const response = await fetch(`${url}/v1/workers`, { headers: { Authorization: `Bearer ${token}` } });
      const { workers } = (await response.json()) as { workers: readonly { tier: string }[] };
      return workers.some(({ tier }) => tier === 'pool');
    });

    const picture = /--data-binary @(\S+)/.exec(printed)?.[1] ?? 'none was printed';
    const inferring = ['infer', 'digits', '--file', picture, '--url', String(url), '--json'];
    const { stdout } = await execute(process.execPath, [await launcher(), ...inferring], { cwd: installed });
    expect(JSON.parse(stdout)).toHaveProperty('predictions.0.label', '7');
  } finally {
    mesh.kill('SIGTERM');
    await ended;
  }
  expect(errors).toBe('');
});

test('the installed command registers a task of its own, with the variants that it makes', async () => {
  const nearfar = await launcher();
  const manifest = join(installed, 'node_modules', 'nearfar', 'models', 'digits', 'manifest.json');
  // Nobody has the eval data there: accuracy stays as declared, and agreement is measured on the sample pictures.
  const args = [
    'register',
    manifest,
    '--local',
    '--state',
    join(folder, 'state'),
    '--data',
    folder,
    '--json',
  ];
  const { stdout, stderr } = await execute(process.execPath, [nearfar, ...args], { cwd: installed });
  expect(stderr).toContain('accuracy stays as declared');
  const names = (JSON.parse(stdout) as { variants: { variant: string }[] }).variants.map(
    ({ variant }) => variant,
  );
  expect(names).toEqual(expect.arrayContaining(['large-fp32-onnx', 'large-int8-onnx', 'large-fp32-tfjs']));
}, 180_000);
