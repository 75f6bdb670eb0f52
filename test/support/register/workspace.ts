import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { runNearfar } from '../run-nearfar.ts';

const MODELS = fileURLToPath(new URL('../../../models/', import.meta.url));

/** A folder with a manifest, its models and a state folder, for registrations without a mesh. */
export interface Workspace {
  readonly folder: string;
  readonly state: string;
  readonly manifest: string;
  /** Registers the manifest in the state folder. */
  register(...args: readonly string[]): ReturnType<typeof runNearfar>;
  /** What `nearfar models --json` says of the state folder. */
  models(): Promise<readonly ListedTask[]>;
  /** Writes the manifest anew, with changes. */
  change(changes: Readonly<Record<string, unknown>>): Promise<void>;
  close(): Promise<void>;
}

/** A task as `nearfar models --json` lists it. */
export interface ListedTask {
  readonly task: string;
  readonly revision: number;
  readonly previousRevision?: number;
  readonly variants: readonly {
    readonly variant: string;
    readonly revision: number;
    readonly accuracy: number;
    readonly accuracySource: string;
    readonly sizeBytes: number;
    readonly cascade?: { readonly escalation: { readonly value: number } };
  }[];
  readonly rejected: readonly { readonly variant: string; readonly reason: string }[];
}

/** The manifest of a workspace: the tiny model of the fashion task with labelled data of its own. */
export const SMALL_MANIFEST = {
  task: 'small-fashion',
  kind: 'image-classification',
  labels: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
  preprocess: {
    kind: 'image',
    input: 'image',
    width: 28,
    height: 28,
    channels: 'grayscale',
    layout: 'NCHW',
    mean: [0.286],
    std: [0.353],
  },
  postprocess: { kind: 'classification', output: 'logits', activation: 'softmax' },
  eval: { format: 'idx', images: 'images.gz', labels: 'labels.gz' },
  models: [{ name: 'tiny', format: 'onnx', path: 'tiny.onnx', accuracy: 0.9, licence: 'Apache-2.0' }],
} as const;

/** Makes a workspace; `pictures` labelled pictures are noise, of which nobody knows what is right. */
export async function openWorkspace(pictures = 300): Promise<Workspace> {
  const folder = await mkdtemp(join(tmpdir(), 'nearfar-register-'));
  const state = join(folder, 'state');
  const manifest = join(folder, 'manifest.json');
  await cp(join(MODELS, 'fashion', 'tiny.onnx'), join(folder, 'tiny.onnx'));
  await writeFile(join(folder, 'images.gz'), gzipSync(idxPictures(pictures)));
  await writeFile(join(folder, 'labels.gz'), gzipSync(idxLabels(pictures)));
  // Whatever mesh runs on this machine is left alone.
  const place = ['--local', '--state', state];
  const env = { NEARFAR_DATA: join(folder, 'none') };
  const workspace: Workspace = {
    folder,
    state,
    manifest,
    register: (...args) => runNearfar(['register', manifest, ...place, ...args], env),
    models: async () => {
      const { stdout, code, stderr } = await runNearfar(['models', '--json', ...place], env);
      if (code !== 0) throw new Error(`nearfar models ended with ${code}: ${stderr}`);
      return JSON.parse(stdout) as readonly ListedTask[];
    },
    change: (changes) => writeFile(manifest, JSON.stringify({ ...SMALL_MANIFEST, ...changes })),
    close: () => rm(folder, { recursive: true, force: true }),
  };
  await workspace.change({});
  return workspace;
}

/** Pictures of 28 × 28 with blocks of different brightness, the same each time. */
function idxPictures(count: number): Uint8Array {
  const bytes = new Uint8Array(16 + count * 784);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, 0x0803);
  header.setUint32(4, count);
  header.setUint32(8, 28);
  header.setUint32(12, 28);
  for (let index = 0; index < count * 784; index += 1) {
    const picture = Math.floor(index / 784);
    const block = Math.floor((index % 784) / 56);
    bytes[16 + index] = (picture * 37 + block * (picture % 11) * 29) % 256;
  }
  return bytes;
}

function idxLabels(count: number): Uint8Array {
  const bytes = new Uint8Array(8 + count);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, 0x0801);
  header.setUint32(4, count);
  for (let index = 0; index < count; index += 1) bytes[8 + index] = index % 10;
  return bytes;
}
