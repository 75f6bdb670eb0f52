import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MeshError, type RegistrationOptions, type Rollout } from '@nearfar/protocol';
import { folderFiles } from '@nearfar/register';
import { usageError } from '../exit-error.ts';
import type { Listing } from '../listing.ts';
import type { MeshAddress } from '../mesh-client.ts';
import { dataFolder } from '../places.ts';
import { registerLocally } from '../register/register-locally.ts';
import { isMeshThere, registerOnMesh } from '../register/register-on-mesh.ts';
import { createReporter } from '../register/report.ts';
import { whenWarm } from '../register/when-warm.ts';
import { formatVariants } from '../variant-table.ts';

interface RegisterOptions extends MeshAddress {
  readonly files?: string;
  readonly data?: string;
  readonly maxAccuracyDrop: number;
  readonly evalLimit?: number;
  readonly generate: boolean;
  readonly rollout: Rollout['mode'];
  readonly share: number;
  readonly local?: boolean;
  readonly json?: boolean;
}

/**
 * `nearfar register`: makes a task of a manifest, on the mesh that answers or, where none does, in the local state folder,
 * and prints its variants.
 */
export async function register(
  manifestPath: string,
  options: RegisterOptions,
  isUrlGiven: boolean,
): Promise<void> {
  const folders = sourceFolders(manifestPath, options);
  const manifest = await readManifestFile(manifestPath);
  const chosen: RegistrationOptions = {
    maxAccuracyDrop: options.maxAccuracyDrop,
    generate: options.generate,
    rollout: { mode: options.rollout, share: options.share },
    ...(options.evalLimit !== undefined && { evalLimit: options.evalLimit }),
  };
  const reporter = createReporter();
  let listing: Listing;
  try {
    // A mesh that was asked for by its address is not to be passed over.
    if (!options.local && (isUrlGiven || (await isMeshThere(options)))) {
      const files = folderFiles(folders);
      const task = await registerOnMesh({ manifest, files, options: chosen, address: options, reporter });
      listing = await whenWarm(options, task, reporter);
    } else {
      if (!options.local) reporter.note(`No mesh answers at ${options.url}; registering in ${options.state}`);
      if (options.rollout !== 'now') {
        reporter.note(`There is no traffic to move here: --rollout ${options.rollout} is of no effect`);
      }
      const task = await registerLocally({
        manifest,
        folders,
        options: chosen,
        stateDirectory: options.state,
        reporter,
      });
      listing = { tasks: [task], pareto: new Map() };
    }
  } finally {
    reporter.stop();
  }
  process.stdout.write(
    `${options.json ? JSON.stringify(listing.tasks[0]) : formatVariants(listing.tasks, listing.pareto)}\n`,
  );
}

/** Where the manifest's files are looked for, in this order. */
function sourceFolders(manifestPath: string, { files, data }: RegisterOptions): string[] {
  if (files !== undefined && !existsSync(files)) {
    throw usageError(`Expected --files to name a folder, found none at "${files}"`);
  }
  const evalFolder = dataFolder(data);
  return [files ?? dirname(manifestPath), ...(evalFolder === undefined ? [] : [evalFolder])];
}

async function readManifestFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new MeshError('MESH_BAD_MANIFEST', `Cannot read "${path}": ${(cause as Error).message}`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MeshError('MESH_BAD_MANIFEST', `Expected JSON in "${path}": ${(cause as Error).message}`, {
      cause,
    });
  }
}
