import { createApi, type DecisionSummary } from '../api.ts';
import { byId } from '../dom.ts';
import { formatTime } from '../format.ts';
import { showNotice } from '../notice.ts';
import { poll } from '../poll.ts';
import { takeToken } from '../session-token.ts';
import { openDecision } from './decision-dialog.ts';
import { showDecisions } from './decisions.ts';
import { showFigures } from './figures.ts';
import { Tasks } from './tasks.ts';
import { showWorkers } from './workers.ts';

const REFRESH_EVERY_MS = 2_000;
/** Tables of variants change slowly and are long, so they are read with every third refresh. */
const TASKS_EVERY = 3;
const DECISIONS_SHOWN = 30;
/** Pages ask for advice often: more is read than shown, so that answers are among it. */
const DECISIONS_READ = 200;

const api = createApi(takeToken());
const notice = byId('notice', HTMLElement);
const live = byId('live', HTMLElement);
const figures = byId('figures', HTMLElement);
const workersList = byId('workers', HTMLElement);
const decisionsList = byId('decisions', HTMLElement);
const advice = byId('advice', HTMLInputElement);
const tasks = new Tasks({ list: byId('tasks', HTMLElement), controls: byId('compare', HTMLFormElement) });
const dialog = byId('explanation', HTMLDialogElement);

let newest: readonly DecisionSummary[] = [];
let refreshes = 0;

/** Whether a page only asked where to run and was told: it reports what came of it under a decision of its own. */
function isAdvice({ source, choice }: DecisionSummary): boolean {
  return source === 'placement' && choice.kind !== 'refused';
}

function showNewest(): void {
  const shown = newest.filter((decision) => advice.checked || !isAdvice(decision)).slice(0, DECISIONS_SHOWN);
  showDecisions(decisionsList, shown, (id) => void openDecision(dialog, api, id));
}

async function refresh(): Promise<void> {
  try {
    const [workers, decisions] = await Promise.all([
      api.workers(),
      api.decisions(DECISIONS_READ),
      refreshes % TASKS_EVERY === 0 && refreshTasks(),
    ]);
    refreshes += 1;
    newest = decisions;
    showNewest();
    showFigures(
      figures,
      workers,
      decisions.filter((decision) => !isAdvice(decision)).slice(0, DECISIONS_SHOWN),
    );
    showWorkers(workersList, workers);
    showNotice(notice, undefined);
    setLive('live', 'Live');
  } catch (error) {
    showNotice(notice, error);
    setLive('lost', `Not live since ${formatTime(Date.now())}`);
  }
}

async function refreshTasks(): Promise<void> {
  const [models, pareto, profiles] = await Promise.all([api.models(), api.pareto(), api.profiles()]);
  tasks.show(models, pareto, profiles);
}

function setLive(state: 'live' | 'paused' | 'lost', text: string): void {
  // A state that goes on is announced once, not every two seconds.
  if (live.dataset.state === state) return;
  live.dataset.state = state;
  live.textContent = text;
}

advice.addEventListener('change', showNewest);
poll(refresh, REFRESH_EVERY_MS, () => setLive('paused', 'Paused'));
