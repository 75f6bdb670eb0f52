/** What one package may use. Packages of other parties are also held to its package.json. */
export interface PackageRules {
  /** Folder in the repository. */
  readonly folder: string;
  /** Packages of this repository that it may import. */
  readonly internal: readonly string[];
  /** Packages of others that it may import; `declared` leaves the choice to its package.json. */
  readonly external: readonly string[] | 'declared';
  /** Whether it may import `node:` modules. */
  readonly node: boolean;
  /** Names that must not occur in its sources. */
  readonly bannedNames?: readonly string[];
  /** Sources that are bound to Node in an otherwise neutral package: `node:` and all names are allowed there. */
  readonly nodePaths?: RegExp;
  /** Packages that only `nodePaths` may import. */
  readonly nodePackages?: readonly string[];
  /** Sources that may import the modules of workerd, such as `cloudflare:workers`. */
  readonly workerdPaths?: RegExp;
}

const PROTOCOL = '@nearfar/protocol';
const CORE = '@nearfar/core';
const WORKER = '@nearfar/worker';
const REGISTER = '@nearfar/register';
const COORDINATOR = '@nearfar/coordinator';
const ALL = [
  PROTOCOL,
  CORE,
  WORKER,
  REGISTER,
  COORDINATOR,
  '@nearfar/edge',
  '@nearfar/gpu-pool',
  '@nearfar/client',
  '@nearfar/bench',
  '@nearfar/web',
];

const NODE_GLOBALS = [
  'process',
  'Buffer',
  'global',
  'require',
  'setImmediate',
  '__dirname',
  '__filename',
  'import.meta.dirname',
  'import.meta.filename',
];

/** Everything through which a clock, chance or the outside world could reach the pure core. */
const WORLD = [
  ...NODE_GLOBALS,
  'Date',
  'performance',
  'Math.random',
  'crypto',
  'setTimeout',
  'setInterval',
  'queueMicrotask',
  'fetch',
  'console',
  'globalThis',
  'window',
  'self',
  'navigator',
  'localStorage',
  'indexedDB',
  'WebSocket',
  'XMLHttpRequest',
];

/** The arrows between the packages, as in the architecture page. */
export const PACKAGES: readonly PackageRules[] = [
  {
    folder: 'protocol',
    internal: [],
    external: ['valibot', 'crc-32'],
    node: false,
    bannedNames: NODE_GLOBALS,
  },
  {
    folder: 'core',
    internal: [PROTOCOL],
    // The decoders of pictures are pure too: bytes in, pixels out.
    external: ['fast-png', 'fflate', 'jpeg-js'],
    node: false,
    bannedNames: WORLD,
  },
  {
    folder: 'coordinator',
    internal: [PROTOCOL, CORE],
    external: 'declared',
    node: false,
    bannedNames: NODE_GLOBALS,
    nodePaths: /^src\/(entry\/node|drivers\/node\/)/,
    nodePackages: ['ws', '@hono/node-server'],
    workerdPaths: /^src\/(entry|drivers)\//,
  },
  { folder: 'worker', internal: [PROTOCOL, CORE], external: 'declared', node: true },
  { folder: 'register', internal: [PROTOCOL, CORE, WORKER], external: 'declared', node: true },
  { folder: 'edge', internal: [PROTOCOL, CORE, COORDINATOR, WORKER, REGISTER], external: [], node: true },
  { folder: 'gpu-pool', internal: [PROTOCOL, CORE, WORKER], external: ['ws'], node: true },
  {
    folder: 'client-sdk',
    internal: [PROTOCOL, CORE],
    external: [
      '@tensorflow/tfjs-backend-webgpu',
      '@tensorflow/tfjs-converter',
      '@tensorflow/tfjs-core',
      '@tensorflow/tfjs-layers',
      'dexie',
      'onnxruntime-web',
      'valibot',
    ],
    node: false,
    bannedNames: NODE_GLOBALS,
  },
  { folder: 'bench', internal: [PROTOCOL, CORE, COORDINATOR], external: 'declared', node: true },
  { folder: 'cli', internal: ALL, external: 'declared', node: true },
  { folder: 'web', internal: ALL, external: 'declared', node: true },
];
