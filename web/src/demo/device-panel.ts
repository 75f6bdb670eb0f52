import type { Mesh, PrepareProgress, ReadyVariant } from '@nearfar/client';
import { MeshError } from '@nearfar/protocol';
import { element, fill } from '../dom.ts';
import { formatBytes, formatMs } from '../format.ts';

/** What this device is, and how far it is with becoming a place where requests can run. */
export interface DevicePanel {
  /** Downloads, compiles and tests the task's variants on this device; ends when that ended, well or not. */
  prepare(task: string): Promise<void>;
}

/** The panel follows the mesh's own events; `onReady` is called when the device became a place to run. */
export function createDevicePanel(parent: Element, mesh: Mesh, onReady: () => void): DevicePanel {
  const state = element('p', { class: 'preparing-state', role: 'status' });
  const bar = element('progress', { max: 1, value: 0, 'aria-label': 'Preparing this device' });
  const stop = element('button', { type: 'button', class: 'quiet' }, 'Stop');
  const preparing = element('div', { class: 'preparing', hidden: true }, bar, stop);
  const facts = element('div');
  fill(parent, facts, state, preparing);
  let chosen: string | undefined;
  const refresh = () => showFacts(facts, mesh, chosen);
  refresh();
  mesh.addEventListener('device', refresh);

  let running: AbortController | undefined;
  stop.addEventListener('click', () => running?.abort());

  return {
    async prepare(task) {
      running?.abort();
      const controller = new AbortController();
      running = controller;
      chosen = task;
      refresh();
      preparing.hidden = false;
      bar.removeAttribute('value');
      state.textContent = `Preparing this device for ${task}…`;
      try {
        await mesh.prepare(task, {
          signal: controller.signal,
          onProgress: (progress) => {
            if (running === controller) showProgress(state, bar, progress);
          },
        });
        if (running !== controller) return;
        state.textContent = `Ready: ${task} can run here.`;
        onReady();
      } catch (error) {
        if (running !== controller) return;
        state.textContent = controller.signal.aborted ? `Stopped. ${ELSEWHERE}` : describeError(error);
      } finally {
        if (running === controller) preparing.hidden = true;
        refresh();
      }
    },
  };
}

const ELSEWHERE = 'Answers come from the edge or the pool.';

/** Only a device that is unfit leaves the rest of the mesh; without mesh or token there is no answer anywhere. */
function describeError(error: unknown): string {
  if (!(error instanceof MeshError)) return String(error);
  if (error.code !== 'MESH_DEVICE_UNAVAILABLE') return error.message;
  const reasons = error.details?.reasons;
  const why = Array.isArray(reasons) ? ` (${reasons.join('; ')})` : '';
  return `${error.message}${why}. ${ELSEWHERE}`;
}

const PHASES: Readonly<Record<PrepareProgress['phase'], string>> = {
  download: 'Downloading',
  load: 'Loading',
  test: 'Testing',
  measure: 'Measuring',
  ready: 'Ready',
};

function showProgress(state: Element, bar: HTMLProgressElement, progress: PrepareProgress): void {
  const { phase, variant = '', loadedBytes, totalBytes } = progress;
  // The bytes are the part whose length is known; the others take about as long as one of the files.
  if (totalBytes > 0) bar.value = loadedBytes / totalBytes;
  state.textContent =
    phase === 'download'
      ? `${PHASES[phase]} ${variant}: ${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`
      : `${PHASES[phase]} ${variant}…`;
}

function showFacts(parent: Element, mesh: Mesh, task: string | undefined): void {
  const { device, ready, unavailable, cache } = mesh.status();
  const own = ready.filter((variant) => variant.task === task);
  const unfit = unavailable.filter((variant) => variant.task === task);
  const entries: [string, string][] = [
    ['WebGPU', device?.webgpu ?? 'looking…'],
    ['Device class', device?.deviceClass ?? '—'],
    ['Ready', own.map(readyText).join(', ') || 'nothing yet'],
  ];
  if (unfit.length > 0) {
    entries.push(['Not usable', unfit.map(({ variant, reason }) => `${variant}: ${reason}`).join('; ')]);
  }
  if (cache === 'memory')
    entries.push(['Cache', 'this browser keeps no files: they are loaded on each visit']);
  fill(
    parent,
    element(
      'dl',
      { class: 'lines' },
      ...entries.map(([name, text]) => element('div', {}, element('dt', {}, name), element('dd', {}, text))),
    ),
  );
}

function readyText({ variant, engine, meanMs }: ReadyVariant): string {
  return `${variant} (${engine}, ${formatMs(meanMs)})`;
}
