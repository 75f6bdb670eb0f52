import { MeshError, type Tensor } from '@nearfar/protocol';
import { readPicture } from '../read-picture.ts';
import type { Engine, EngineCall, EngineRequest, EngineResponse, EngineStart } from './messages.ts';

/*
 * The worker in which one engine runs, away from the page's main thread. It is disposable: an engine that hangs or
 * lost its device is ended with its worker. Engines are loaded on demand, so that a page downloads only what it runs.
 */

let engine: Engine | undefined;
let last: Promise<void> = Promise.resolve();

self.addEventListener('message', ({ data }: MessageEvent<EngineRequest>) => {
  // One after another: a new worker is sent start, loads and the first run at once.
  last = last.then(() => answer(data));
});

async function answer({ id, call }: EngineRequest): Promise<void> {
  try {
    const tensors = await perform(call);
    const response: EngineResponse = { id, kind: 'done', tensors };
    self.postMessage(response, { transfer: tensors.map((tensor) => tensor.data.buffer as ArrayBuffer) });
  } catch (error) {
    const code = error instanceof MeshError ? error.code : 'MESH_EXECUTION_FAILED';
    const message = error instanceof Error ? error.message : String(error);
    const response: EngineResponse = { id, kind: 'failed', code, message };
    self.postMessage(response);
  }
}

async function perform(call: EngineCall): Promise<readonly Tensor[]> {
  if (call.kind === 'wake') return [];
  if (call.kind === 'picture') return [await readPicture(call.source, call.rule)];
  if (call.kind === 'start') {
    engine = await createEngine(call.start);
    return [];
  }
  if (engine === undefined) throw new MeshError('MESH_EXECUTION_FAILED', 'The engine is not started');
  if (call.kind === 'run') return engine.run(call.session, call.tensors);
  if (call.kind === 'load') await engine.load(call.session, call.model);
  else await engine.unload(call.session);
  return [];
}

async function createEngine(start: EngineStart): Promise<Engine> {
  if (start.engine === 'tfjs-webgpu') return (await import('./tfjs-webgpu.ts')).createTfjsEngine();
  return (await import('./ort-web.ts')).createOrtEngine(start);
}
