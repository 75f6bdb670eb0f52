import type { Decision, NearestFeasible, RequestSpec } from '@nearfar/core';
import { type Candidate, MeshError } from '@nearfar/protocol';
import type { Claims } from './auth.ts';

/** What was chosen, or why nothing was. */
export type ChoiceRecord =
  | {
      readonly kind: 'meets-slo' | 'best-effort';
      readonly variant: string;
      readonly tier: 'browser' | 'edge' | 'pool';
      readonly worker: string;
      readonly predictedMs: number;
      /** It is less accurate than asked for, as the caller allows where nothing else is on time; absent = it is not. */
      readonly isDegraded?: true;
    }
  | { readonly kind: 'refused'; readonly message: string; readonly nearest: NearestFeasible };

/** How it went. */
export interface OutcomeRecord {
  readonly status: 'ok' | 'failed' | 'cancelled';
  readonly totalMs: number;
  readonly queueMs: number;
  readonly computeMs: number;
  readonly batchSize: number;
  readonly costUsd: number;
  readonly sloMet: boolean;
}

/** One try of a decision: where, and the code of the error that ended it, if one did. */
export interface AttemptRecord {
  readonly variant: string;
  readonly worker: string;
  readonly code?: string;
  /** Whether it ran beside another one that took longer than was predicted. */
  readonly isHedge?: boolean;
}

/** A decision without its candidates. `source` says who decided: the mesh for itself or for a page, or a page. */
export interface DecisionSummary {
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly source: 'request' | 'placement' | 'page';
  readonly subject: string;
  readonly task: string;
  readonly spec: Partial<RequestSpec>;
  readonly choice: ChoiceRecord;
  readonly attempts: readonly AttemptRecord[];
  /** Candidates that there were, where not all of them were kept. */
  readonly considered?: number;
  readonly outcome?: OutcomeRecord;
}

/** A decision with all that it rested on. */
export interface DecisionRecord extends DecisionSummary {
  readonly candidates: readonly Candidate[];
}

interface Kept {
  readonly summary: DecisionSummary;
  readonly candidates: () => readonly Candidate[];
  /** It is the small stage of a cascade whose large one is still to come. */
  readonly isStage?: true;
  /** What a page did of it before somebody went on: the small stage of a cascade. */
  readonly before?: Kept;
}

/** Decisions that are kept for explanation; the oldest gives way. */
export const MAX_DECISIONS = 1_000;

/** The last decisions. Few of them are ever looked at, so candidates are put into words only when one is. */
export class DecisionLog {
  readonly #kept = new Map<string, Kept>();
  #decided = 0;

  /** Counts a decision; true for one in `every`, whose candidates are kept though they are many. */
  isSample(every: number): boolean {
    this.#decided += 1;
    return this.#decided % every === 0;
  }

  /** Keeps a decision; one with the same id is replaced and keeps its place. The mesh, or the page, goes on with a page's. */
  put(summary: DecisionSummary, candidates: () => readonly Candidate[]): void {
    const former = this.#kept.get(summary.id);
    const isContinued =
      former?.isStage === true || (former?.summary.source === 'page' && summary.source === 'request');
    const before = isContinued ? former : former?.before;
    this.#keep({ summary, candidates, ...(before !== undefined && { before }) });
  }

  /**
   * Keeps the small stage of a cascade that a page ran, whether its large one is known already or still to come; false when
   * that stage is known, too.
   */
  putStage(summary: DecisionSummary, candidates: () => readonly Candidate[]): boolean {
    const kept = this.#kept.get(summary.id);
    if (kept?.isStage === true || kept?.before !== undefined) return false;
    if (kept === undefined) this.#keep({ summary, candidates, isStage: true });
    else this.#keep({ ...kept, before: { summary, candidates } });
    return true;
  }

  find(id: string): DecisionSummary | undefined {
    return this.#kept.get(id)?.summary;
  }

  /**
   * The decision as `reader` may see it: its own, or anybody's for an admin.
   *
   * @throws MeshError `MESH_UNKNOWN_DECISION`, also for somebody else's.
   */
  get(id: string, reader: Claims): DecisionRecord {
    const kept = this.#kept.get(id);
    if (kept !== undefined && mayRead(reader, kept.summary)) {
      const { summary, candidates, before } = kept;
      return {
        ...summary,
        attempts: [...(before?.summary.attempts ?? []), ...summary.attempts],
        candidates: [...(before?.candidates() ?? []), ...candidates()],
      };
    }
    throw new MeshError(
      'MESH_UNKNOWN_DECISION',
      `Unknown decision "${id.slice(0, 64)}"; the last ${MAX_DECISIONS} are kept`,
    );
  }

  /** Notes how a decision went; unknown ones (already forgotten) are passed over. */
  settle(id: string, outcome: OutcomeRecord): void {
    const kept = this.#kept.get(id);
    if (kept !== undefined) this.#kept.set(id, { ...kept, summary: { ...kept.summary, outcome } });
  }

  #keep(kept: Kept): void {
    this.#kept.set(kept.summary.id, kept);
    if (this.#kept.size <= MAX_DECISIONS) return;
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined) this.#kept.delete(oldest);
  }

  /** The last `limit` decisions that `reader` may see, newest first. */
  latest(limit: number, reader: Claims): DecisionSummary[] {
    return [...this.#kept.values()]
      .map(({ summary }) => summary)
      .filter((summary) => mayRead(reader, summary))
      .slice(-limit)
      .reverse();
  }
}

/** A page's token is in everybody's hands: it shows nothing of what others asked. */
function mayRead(reader: Claims, { subject }: DecisionSummary): boolean {
  return reader.role === 'admin' || reader.subject === subject;
}

/** What a decision chose, as a record. */
export function describeChoice({ choice }: Decision): ChoiceRecord {
  if (choice.kind === 'refused') return choice;
  const { option, predictedMs } = choice.chosen;
  const { variant, tier, worker } = option;
  const isDegraded = choice.kind === 'meets-slo' && choice.isDegraded;
  return { kind: choice.kind, variant, tier, worker, predictedMs, ...(isDegraded && { isDegraded }) };
}
