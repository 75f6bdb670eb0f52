import { createApi, type DecisionSummary } from '../api.ts';
import { byId } from '../dom.ts';
import { formatTime } from '../format.ts';
import { showNotice } from '../notice.ts';
import { poll } from '../poll.ts';
import { takeToken } from '../session-token.ts';
import { openDecision } from './decision-dialog.ts';
import { showDecisions } from './decisions.ts';
import { showFigures } from './figures.ts';
import { showTasks } from './tasks.ts';
import { showWorkers } from './workers.ts';

const REFRESH_EVERY_MS = 2_000;
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
const tasksList = byId('tasks', HTMLElement);
const dialog = byId('explanation', HTMLDialogElement);

let newest: readonly DecisionSummary[] = [];

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
    const [workers, models, profiles, decisions] = await Promise.all([
      api.workers(),
      api.models(),
      api.profiles(),
      api.decisions(DECISIONS_READ),
    ]);
    newest = decisions;
    showNewest();
    showFigures(
      figures,
      workers,
      decisions.filter((decision) => !isAdvice(decision)).slice(0, DECISIONS_SHOWN),
    );
    showWorkers(workersList, workers);
    showTasks(tasksList, models, profiles);
    showNotice(notice, undefined);
    setLive('live', 'Live');
  } catch (error) {
    showNotice(notice, error);
    setLive('lost', `Not live since ${formatTime(Date.now())}`);
  }
}

function setLive(state: 'live' | 'paused' | 'lost', text: string): void {
  // A state that goes on is announced once, not every two seconds.
  if (live.dataset.state === state) return;
  live.dataset.state = state;
  live.textContent = text;
}

advice.addEventListener('change', showNewest);
poll(refresh, REFRESH_EVERY_MS, () => setLive('paused', 'Paused'));
