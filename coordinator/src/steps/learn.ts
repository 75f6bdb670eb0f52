import { type Footprint, type ProfileBook, Sketch, type StoredReport } from '@nearfar/core';
import { LIMITS, type Outcome, type ProfileReport, type SketchData } from '@nearfar/protocol';
import { isLeaseOf } from '../auth.ts';
import type { Context } from '../context.ts';
import type { DecisionSummary } from '../decisions.ts';
import { accountReported, isUnsureStage } from './account.ts';

/** Batches for which one page's word counts at most, so that no page outweighs the others by claiming many. */
const MAX_PAGE_SAMPLES = 1_000;
/** A page's measurements outside these bounds (milliseconds) are noise or lies. */
const PAGE_COMPUTE_MS = { least: 0.001, most: 60_000 };

const MAX_PAGE_LOAD_MS = 600_000;
const MAX_PAGE_MEMORY_BYTES = 64 * 1024 ** 3;

/** Figures of a page's footprint above these bounds are no page's. */
const PAGE_BOUNDS: { readonly [Part in keyof Footprint]: number } = {
  loadMs: MAX_PAGE_LOAD_MS,
  downloadMs: MAX_PAGE_LOAD_MS,
  compileMs: MAX_PAGE_LOAD_MS,
  firstRunMs: MAX_PAGE_LOAD_MS,
  memoryBytes: MAX_PAGE_MEMORY_BYTES,
  peakMemoryBytes: MAX_PAGE_MEMORY_BYTES,
  modelBytes: LIMITS.maxArtifactBytes,
  runtimeBytes: LIMITS.maxArtifactBytes,
};

/** Pages run one input at a time; more sizes would only be more for us to hold. */
const PAGE_BATCH = 1;

/** Device classes of pages; anything else a page cannot have measured. */
const PAGE_CLASS = /^(webgpu|wasm):/;
const PAGE_REPORTER = 'page:';

/** Whether a stored report is a page's. */
export function isPageReporter(reporter: string): boolean {
  return reporter.startsWith(PAGE_REPORTER);
}

/** Takes in what a worker measured. Workers hold a token of their own and are believed. */
export function learnFromWorker(context: Context, workerId: string, reports: readonly ProfileReport[]): void {
  absorb(context, context.book, `worker:${workerId}`, reports);
}

/** Takes in what a page measured of its own device; returns how many reports counted. */
export function learnFromPage(context: Context, subject: string, reports: readonly ProfileReport[]): number {
  let learned = 0;
  for (const report of reports) {
    const isPages = PAGE_CLASS.test(report.deviceClass) && report.batch === PAGE_BATCH;
    const computeMs = isPages ? clampSketch(report.computeMs) : undefined;
    if (computeMs === undefined) continue;
    const reporter = `${PAGE_REPORTER}${subject}:${report.epoch}`;
    learned += absorb(context, context.pageBook, reporter, [{ ...plausible(report), computeMs }]);
  }
  return learned;
}

/** Takes in what pages did by themselves; returns how many outcomes counted. */
export async function learnOutcomes(
  context: Context,
  subject: string,
  outcomes: readonly Outcome[],
): Promise<number> {
  let learned = 0;
  for (const outcome of outcomes) {
    // What ran in a worker was measured and booked there already.
    if (outcome.tier !== 'browser') continue;
    const variant = context.catalog.findVariant(outcome.task, outcome.variant, outcome.revision);
    if (variant === undefined) continue;
    const { leaseId, decisionId } = outcome;
    if (leaseId !== undefined && !(await isLeaseOf(context.options.secret, leaseId, subject, outcome.task)))
      continue;
    const page = pageDecision(context, subject, outcome);
    const known = context.decisions.find(decisionId);
    if (known !== undefined && known.subject !== subject) continue;
    // A report that is sent again, because its answer was lost, changes nothing.
    if (isUnsureStage(outcome)) {
      if (!context.decisions.putStage(page, () => outcome.candidates)) continue;
    } else {
      if (known?.source === 'request' || known?.outcome !== undefined) continue;
      // One that was asked for is the mesh's own, and better explained by it.
      if (known?.source !== 'placement') context.decisions.put(page, () => outcome.candidates);
    }
    accountReported(context, subject, outcome, variant);
    if (leaseId !== undefined) context.metrics.leasedRun();
    learnEscalation(context, subject, outcome);
    context.usage.answered(outcome.task, context.options.clock.now());
    learned += 1;
  }
  return learned;
}

function pageDecision(context: Context, subject: string, outcome: Outcome): DecisionSummary {
  const { decisionId: id, task, variant, privacy, sloMs, predictedMs } = outcome;
  return {
    id,
    at: new Date(context.options.clock.wallTime()).toISOString(),
    source: 'page',
    subject,
    task,
    spec: { privacy, ...(sloMs !== undefined && { sloMs }) },
    choice: {
      kind: sloMs === undefined || predictedMs <= sloMs ? 'meets-slo' : 'best-effort',
      variant,
      tier: 'browser',
      worker: 'page',
      predictedMs,
    },
    attempts: [{ variant, worker: 'page' }],
  };
}

/** A cascade's small stage that a page ran; whether its input went on is the page's word, which counts for its own caller. */
function learnEscalation(context: Context, subject: string, { task, cascade, status }: Outcome): void {
  if (cascade === undefined || status !== 'ok') return;
  const { variant, revision, isEscalated } = cascade;
  if (context.catalog.findVariant(task, variant, revision)?.cascade === undefined) return;
  const seen = { escalated: isEscalated ? 1 : 0, inputs: 1, isReported: true };
  context.escalations.observe({ task, variant, revision }, subject, seen);
}

function absorb(
  context: Context,
  book: ProfileBook,
  reporter: string,
  reports: readonly ProfileReport[],
): number {
  const receivedAt = context.options.clock.wallTime();
  const fresh: StoredReport[] = [];
  for (const report of reports) {
    if (context.catalog.findVariant(report.task, report.variant, report.revision) === undefined) continue;
    const stored: StoredReport = { reporter, receivedAt, report };
    if (book.absorb(stored)) fresh.push(stored);
  }
  if (fresh.length > 0) context.background('save profiles', context.options.profiles.save(fresh));
  return fresh.length;
}

/** A page's report without the parts of its footprint that no page can have. */
function plausible(report: ProfileReport): ProfileReport {
  const kept = { ...report };
  for (const [part, most] of Object.entries(PAGE_BOUNDS) as [keyof Footprint, number][]) {
    if ((report[part] ?? 0) > most) delete kept[part];
  }
  return kept;
}

/**
 * A page's sketch within bounds: only plausible buckets, at most `MAX_PAGE_SAMPLES` values, and sums that follow from
 * the buckets rather than from what the page says. Undefined when nothing is left.
 */
export function clampSketch(data: SketchData): SketchData | undefined {
  const buckets: [number, number][] = [];
  let left = MAX_PAGE_SAMPLES;
  let sum = 0;
  let sumOfSquares = 0;
  for (const [index, count] of data.buckets) {
    const valueMs = Sketch.fromData({ buckets: [[index, 1]], sum: 0, sumOfSquares: 0 }).quantile(1) ?? 0;
    if (!(valueMs >= PAGE_COMPUTE_MS.least && valueMs <= PAGE_COMPUTE_MS.most)) continue;
    const taken = Math.min(count, left);
    if (taken === 0) continue;
    buckets.push([index, taken]);
    left -= taken;
    sum += taken * valueMs;
    sumOfSquares += taken * valueMs * valueMs;
  }
  return buckets.length === 0 ? undefined : { buckets, sum, sumOfSquares };
}
