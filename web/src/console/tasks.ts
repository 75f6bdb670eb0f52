import type { TaskInfo } from '@nearfar/protocol';
import type { ProfileInfo } from '../api.ts';
import { element, fill, renderList } from '../dom.ts';
import { formatBytes, formatMs, formatShare } from '../format.ts';
import { tierBadge } from '../tier-badge.ts';

const HEADS = ['Variant', 'Accuracy', 'Size', 'Runs on', 'One input, p50 / p99'] as const;

/** Shows each task with its variants and what was measured of them on each device class. */
export function showTasks(
  parent: Element,
  tasks: readonly TaskInfo[],
  profiles: readonly ProfileInfo[],
): void {
  if (tasks.length === 0) {
    fill(
      parent,
      element(
        'p',
        { class: 'empty' },
        'No task is registered. Add one: ',
        element('code', {}, 'nearfar register <manifest.json>'),
      ),
    );
    return;
  }
  const items = tasks.map((task) => ({
    task,
    profiles: profiles
      .filter((profile) => profile.task === task.task && profile.batch === 1)
      .map(({ variant, revision, deviceClass, p50Ms, p99Ms, samples }) => ({
        variant,
        revision,
        deviceClass,
        p50Ms,
        p99Ms,
        samples,
      })),
  }));
  renderList(parent, items, ({ task }) => task.task, card);
}

type Variant = TaskInfo['variants'][number];
type Profile = Pick<ProfileInfo, 'variant' | 'revision' | 'deviceClass' | 'p50Ms' | 'p99Ms' | 'samples'>;

function card({ task, profiles }: { task: TaskInfo; profiles: readonly Profile[] }): HTMLElement {
  const variants = [...task.variants].sort(
    (a, b) => sizeOf(a) - sizeOf(b) || a.variant.localeCompare(b.variant),
  );
  return element(
    'article',
    { class: 'card' },
    element(
      'div',
      { class: 'card-head' },
      element('h3', {}, task.task),
      element('span', { class: 'faint' }, `${task.kind} · ${task.labels.length} labels`),
    ),
    element(
      'table',
      { class: 'stacking' },
      element('caption', { class: 'visually-hidden' }, `Variants of ${task.task}`),
      element('thead', {}, element('tr', {}, ...HEADS.map((head) => element('th', { scope: 'col' }, head)))),
      element(
        'tbody',
        {},
        ...variants.map((variant) =>
          row(
            variant,
            profiles.filter(
              (profile) => profile.variant === variant.variant && profile.revision === variant.revision,
            ),
          ),
        ),
      ),
    ),
  );
}

function row(variant: Variant, profiles: readonly Profile[]): HTMLTableRowElement {
  const { value, source, sampleSize } = variant.accuracy;
  const origin = source === 'measured' ? `measured on ${sampleSize.toLocaleString()}` : 'declared';
  return element(
    'tr',
    {},
    element(
      'th',
      { scope: 'row' },
      variant.variant,
      element(
        'span',
        { class: 'faint' },
        `revision ${variant.revision} · ${variant.precision} ${variant.format}`,
      ),
    ),
    element(
      'td',
      { 'data-head': HEADS[1] },
      formatShare(value, 2),
      element('span', { class: 'faint' }, origin),
    ),
    element('td', { 'data-head': HEADS[2] }, formatBytes(sizeOf(variant))),
    element(
      'td',
      { 'data-head': HEADS[3] },
      element('span', { class: 'badges' }, ...variant.tiers.map((tier) => tierBadge(tier))),
    ),
    element(
      'td',
      { 'data-head': HEADS[4] },
      profiles.length === 0
        ? element('span', { class: 'faint' }, 'not measured yet')
        : element('ul', { class: 'profiles' }, ...profiles.map(profileLine)),
    ),
  );
}

function sizeOf({ artifacts }: Variant): number {
  return artifacts.reduce((sum, artifact) => sum + artifact.sizeBytes, 0);
}

function profileLine({ deviceClass, p50Ms, p99Ms, samples }: Profile): HTMLElement {
  return element(
    'li',
    { title: `${samples} batches measured` },
    element('span', {}, `${formatMs(p50Ms)} / ${formatMs(p99Ms)}`),
    element('span', { class: 'faint mono' }, deviceClass),
  );
}
