import { createMesh } from '@nearfar/client';
import { MeshError, type TaskInfo } from '@nearfar/protocol';
import { createApi } from '../api.ts';
import { byId, element, fill } from '../dom.ts';
import { decisionExplanation } from '../explanation.ts';
import { showNotice } from '../notice.ts';
import { takeToken } from '../session-token.ts';
import { localExplanation, refusedDecisionId, showAnswer, showGlance, showRefusal } from './answer.ts';
import { createDemandControls, showTaskChoice } from './demands.ts';
import { createDevicePanel } from './device-panel.ts';
import { createDrawing } from './drawing.ts';
import { acceptFiles } from './pictures.ts';

/** A second stroke within this time belongs to the same drawing. */
const ASK_AFTER_MS = 350;
/** Digits are lines, garments are shapes. */
const BRUSHES: Readonly<Record<string, number>> = { digits: 20, fashion: 44 };
const DEFAULT_BRUSH = 24;

const token = takeToken();
const notice = byId('notice', HTMLElement);
const form = byId('ask', HTMLFormElement);
const submit = byId('submit', HTMLButtonElement);
const canvas = byId('canvas', HTMLCanvasElement);
const brush = byId('brush', HTMLInputElement);
const paperHint = byId('paper-hint', HTMLElement);
const answerPanel = byId('answer', HTMLElement);
const glance = byId('glance', HTMLElement);
const whyPanel = byId('why', HTMLElement);

const EMPTY_ANSWER = 'Draw something, or drop, paste or choose a picture.';
const EMPTY_WHY = 'After an answer, every place that could have given it is listed here with its numbers.';

async function start(): Promise<void> {
  const api = createApi(token);
  const tasks = (await api.models()).filter(({ kind }) => kind === 'image-classification');
  const [firstTask] = tasks;
  if (firstTask === undefined)
    throw new MeshError('MESH_UNKNOWN_TASK', 'No task that takes a picture is registered');
  let task: TaskInfo = firstTask;
  const mesh = createMesh({ endpoint: location.origin, token: token ?? '', assetBase: '/assets/ort/' });
  const device = createDevicePanel(byId('device', HTMLElement), mesh, () => ask());

  let picture: File | undefined;
  let asking: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const ask = () => {
    clearTimeout(timer);
    if (drawing.isEmpty || !form.checkValidity()) return;
    void infer();
  };
  const askSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, ASK_AFTER_MS);
  };
  const infer = async () => {
    asking?.abort();
    const controller = new AbortController();
    asking = controller;
    const demands = controls.read();
    answerPanel.classList.add('is-stale');
    try {
      const answer = await mesh.infer(task.task, picture ?? canvas, {
        ...demands,
        explain: true,
        signal: controller.signal,
      });
      if (asking !== controller) return;
      showNotice(notice, undefined);
      showAnswer(answerPanel, answer, demands);
      showGlance(glance, answer);
      const why = localExplanation(answer, demands);
      if (why !== undefined) fill(whyPanel, why);
      else await showKeptDecision(answer.placement.decisionId, controller);
    } catch (error) {
      if (asking !== controller) return;
      if (isAboutMesh(error)) showNoMesh(error);
      else {
        showNotice(notice, undefined);
        showRefusal(answerPanel, error);
        fill(glance, element('span', { class: 'bad' }, 'No answer, see below'));
        await showKeptDecision(refusedDecisionId(error), controller);
      }
    }
    if (asking !== controller) return;
    answerPanel.classList.remove('is-stale');
  };

  /** The notice says what is wrong with the mesh or the token, and takes another token. */
  const showNoMesh = (error: unknown) => {
    showNotice(notice, error);
    notice.scrollIntoView({ block: 'nearest' });
    fill(glance, element('span', { class: 'bad' }, 'No answer, see above'));
    fill(answerPanel, element('p', { class: 'bad' }, 'No answer: see the notice at the top'));
    fill(whyPanel, element('p', { class: 'empty' }, EMPTY_WHY));
  };

  /** Explains a decision that the mesh made, as long as `current` is the newest request. */
  const showKeptDecision = async (id: string | undefined, current: AbortController) => {
    try {
      const kept = id === undefined ? undefined : await api.decision(id);
      if (asking !== current) return;
      fill(whyPanel, kept === undefined ? noExplanation() : decisionExplanation(kept));
    } catch {
      // The answer stands without its explanation, for example when the mesh has forgotten it.
      if (asking === current) fill(whyPanel, noExplanation());
    }
  };

  const drawing = createDrawing(
    canvas,
    () => Number(brush.value),
    () => {
      picture = undefined;
      showPaper('a drawing');
      askSoon();
    },
  );
  const controls = createDemandControls(form, ask);
  const showPaper = (content: string | undefined) => {
    paperHint.hidden = content !== undefined;
    canvas.setAttribute('aria-label', `Drawing paper, ${content ?? 'empty'}`);
  };
  const forgetAnswer = () => {
    clearTimeout(timer);
    asking?.abort();
    asking = undefined;
    answerPanel.classList.remove('is-stale');
    fill(glance);
    fill(answerPanel, element('p', { class: 'empty' }, EMPTY_ANSWER));
    fill(whyPanel, element('p', { class: 'empty' }, EMPTY_WHY));
  };
  const clear = () => {
    forgetAnswer();
    picture = undefined;
    drawing.clear();
    showPaper(undefined);
  };
  const choose = (chosen: TaskInfo) => {
    task = chosen;
    brush.value = String(BRUSHES[chosen.task] ?? DEFAULT_BRUSH);
    controls.reset(chosen);
    clear();
    void device.prepare(chosen.task);
  };
  const takePicture = async (file: File) => {
    try {
      const bitmap = await createImageBitmap(file);
      drawing.show(bitmap);
      bitmap.close();
      picture = file;
      showPaper(`picture ${file.name}`);
      ask();
    } catch (error) {
      // What is shown of a former picture must not read as an answer to this file; the paper is left as it is.
      forgetAnswer();
      showRefusal(
        answerPanel,
        new Error(`"${file.name}" is not a picture that this browser can read`, { cause: error }),
      );
    }
  };

  canvas.addEventListener('pointerdown', () => {
    paperHint.hidden = true;
    clearTimeout(timer);
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    ask();
  });
  byId('clear', HTMLButtonElement).addEventListener('click', clear);
  acceptFiles(
    byId('paper', HTMLElement),
    byId('choose', HTMLButtonElement),
    byId('file', HTMLInputElement),
    (file) => void takePicture(file),
  );
  showTaskChoice(byId('task-choice', HTMLElement), tasks, choose);
  submit.disabled = false;
  choose(task);
}

/** Whether no other picture and no other demand would have been answered either. */
function isAboutMesh(error: unknown): boolean {
  return (
    error instanceof MeshError && (error.code === 'MESH_UNAUTHENTICATED' || error.code === 'MESH_NETWORK')
  );
}

function noExplanation(): HTMLElement {
  return element('p', { class: 'empty' }, 'There is no explanation of this one.');
}

start().catch((error: unknown) => showNotice(notice, error));
