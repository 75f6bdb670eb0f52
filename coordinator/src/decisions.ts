import { type Decision, explainCandidates, type NearestFeasible, type RequestSpec } from '@nearfar/core';
import { type Candidate, MeshError } from '@nearfar/protocol';

/** What was chosen, or why nothing was. */
export type ChoiceRecord =
  | {
      readonly kind: 'meets-slo' | 'best-effort';
      readonly variant: string;
      readonly tier: 'browser' | 'edge' | 'pool';
      readonly worker: string;
      readonly predictedMs: number;
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
}

/** A decision with all that it rested on. `source` says who decided: the mesh for itself or for a page, or a page. */
export interface DecisionRecord {
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly source: 'request' | 'placement' | 'page';
  readonly subject: string;
  readonly task: string;
  readonly spec: Partial<RequestSpec>;
  readonly choice: ChoiceRecord;
  readonly candidates: readonly Candidate[];
  readonly attempts: readonly AttemptRecord[];
  readonly outcome?: OutcomeRecord;
}

/** Decisions that are kept for explanation; the oldest gives way. */
export const MAX_DECISIONS = 1_000;

/** The last decisions, newest wins. */
export class DecisionLog {
  readonly #records = new Map<string, DecisionRecord>();

  /** Keeps a record; one with the same id is replaced and keeps its place. */
  put(record: DecisionRecord): void {
    this.#records.set(record.id, record);
    if (this.#records.size <= MAX_DECISIONS) return;
    const [oldest] = this.#records.keys();
    if (oldest !== undefined) this.#records.delete(oldest);
  }

  find(id: string): DecisionRecord | undefined {
    return this.#records.get(id);
  }

  /** @throws MeshError `MESH_UNKNOWN_DECISION`. */
  get(id: string): DecisionRecord {
    const record = this.#records.get(id);
    if (record !== undefined) return record;
    throw new MeshError(
      'MESH_UNKNOWN_DECISION',
      `Unknown decision "${id.slice(0, 64)}"; the last ${MAX_DECISIONS} are kept`,
    );
  }

  /** Notes how a decision went; unknown ones (already forgotten) are passed over. */
  settle(id: string, outcome: OutcomeRecord): void {
    const record = this.#records.get(id);
    if (record !== undefined) this.#records.set(id, { ...record, outcome });
  }

  /** Summaries of the last `limit` decisions, newest first, without candidates. */
  latest(limit: number): Omit<DecisionRecord, 'candidates'>[] {
    return [...this.#records.values()]
      .slice(-limit)
      .reverse()
      .map(({ candidates: _, ...summary }) => summary);
  }
}

/** A decision of core as a record. */
export function describeDecision(decision: Decision): Pick<DecisionRecord, 'choice' | 'candidates'> {
  const { choice } = decision;
  return {
    choice:
      choice.kind === 'refused'
        ? choice
        : {
            kind: choice.kind,
            variant: choice.chosen.option.variant,
            tier: choice.chosen.option.tier,
            worker: choice.chosen.option.worker,
            predictedMs: choice.chosen.predictedMs,
          },
    candidates: explainCandidates(decision),
  };
}
