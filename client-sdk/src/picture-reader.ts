import type { ImagePreprocess, Tensor } from '@nearfar/protocol';
import type { EngineHost } from './engine/engine-host.ts';
import type { PictureSource } from './pixels.ts';
import { abortable } from './shared-calls.ts';

/**
 * Turns pictures into tensors in a worker, since a large one takes longer than a frame. Where the worker's script
 * cannot be loaded (a content security policy, a bundler that does not find it), on the page's own thread: slower for
 * the page, with the same numbers.
 */
export class PictureReader {
  readonly #host: Pick<EngineHost, 'wake' | 'picture'>;
  #hasWorker: Promise<boolean> | undefined;

  constructor(host: Pick<EngineHost, 'wake' | 'picture'>) {
    this.#host = host;
  }

  /** @throws MeshError `MESH_BAD_MEDIA`, or the signal's reason. */
  async read(source: PictureSource, rule: ImagePreprocess, signal: AbortSignal): Promise<readonly Tensor[]> {
    // Asked once and before the first picture is handed over, since what went into a dead worker is lost.
    this.#hasWorker ??= this.#host.wake().then(
      () => true,
      () => false,
    );
    if (await abortable(this.#hasWorker, signal)) {
      return await this.#host.picture({ kind: 'picture', source, rule }, signal);
    }
    // Loaded only here, since most pages have their worker.
    const { readPicture } = await import('./read-picture.ts');
    return [await readPicture(source, rule)];
  }
}
