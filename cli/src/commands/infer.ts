import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { MeshError } from '@nearfar/protocol';
import { usageError } from '../exit-error.ts';
import { callMesh, type MeshAddress } from '../mesh-client.ts';
import { formatTable } from '../table.ts';

interface InferOptions extends MeshAddress {
  readonly file: string;
  readonly sloMs?: number;
  readonly minAccuracy?: number;
  readonly degradeTo?: number;
  readonly priority?: number;
  readonly maxCostUsd?: number;
  readonly privacy?: string;
  readonly explain?: boolean;
  readonly json?: boolean;
}

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.json': 'application/json',
};

interface Answer {
  readonly predictions?: readonly { readonly label: string; readonly score: number }[];
  readonly placement: Readonly<Record<string, unknown>> & { readonly decision_id: string };
}

interface Explanation {
  readonly candidates: readonly {
    readonly variant: string;
    readonly tier: string;
    readonly worker: string;
    readonly predictedMs: number;
    readonly tailMs: number;
    readonly onTimeProbability: number;
    readonly accuracy: number;
    readonly costUsd: number;
    readonly verdict: string;
    readonly reasons: readonly { readonly message: string }[];
  }[];
}

/** `nearfar infer`: asks the mesh about one file and prints the answer. */
export async function infer(task: string, options: InferOptions): Promise<void> {
  const mediaType = MEDIA_TYPES[extname(options.file).toLowerCase()];
  if (mediaType === undefined) {
    throw usageError(
      `Expected --file to end in ${Object.keys(MEDIA_TYPES).join(', ')}; got "${options.file}"`,
    );
  }
  if (options.privacy === 'local_only') {
    throw new MeshError(
      'MESH_NO_FEASIBLE_PLACEMENT',
      'Only a page can answer local_only: this command would have to send the file. Use --privacy no_pool or the SDK',
    );
  }
  const query = new URLSearchParams();
  if (options.sloMs !== undefined) query.set('slo_ms', String(options.sloMs));
  if (options.minAccuracy !== undefined) query.set('min_accuracy', String(options.minAccuracy));
  if (options.degradeTo !== undefined) query.set('degrade_to', String(options.degradeTo));
  if (options.priority !== undefined) query.set('priority', String(options.priority));
  if (options.maxCostUsd !== undefined) query.set('max_cost_usd', String(options.maxCostUsd));
  if (options.privacy !== undefined) query.set('privacy', options.privacy);
  const answer = (await callMesh(options, `/v1/tasks/${encodeURIComponent(task)}/infer?${query}`, {
    method: 'POST',
    headers: { 'Content-Type': mediaType },
    body: new Uint8Array(await readFile(options.file)),
  })) as Answer;
  const explanation = options.explain
    ? ((await callMesh(options, `/v1/decisions/${answer.placement.decision_id}`)) as Explanation)
    : undefined;
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify(explanation === undefined ? answer : { ...answer, explanation })}\n`,
    );
    return;
  }
  process.stdout.write(`${describe(answer)}\n`);
  if (explanation !== undefined) process.stdout.write(`\n${describeCandidates(explanation)}\n`);
}

function describe({ predictions = [], placement }: Answer): string {
  const rows = predictions.slice(0, 5).map(({ label, score }) => [label, `${(score * 100).toFixed(1)} %`]);
  const facts = Object.entries(placement).map(([name, value]) => [name, String(value)]);
  return `${formatTable(['label', 'score'], rows)}\n\n${formatTable(['placement', ''], facts)}`;
}

function describeCandidates({ candidates }: Explanation): string {
  const rows = candidates.map((candidate) => [
    candidate.verdict,
    candidate.variant,
    candidate.worker,
    candidate.tier,
    Number(candidate.predictedMs.toFixed(2)),
    Number(candidate.tailMs.toFixed(2)),
    Number((candidate.onTimeProbability * 100).toFixed(2)),
    candidate.accuracy,
    candidate.costUsd.toExponential(2),
    candidate.reasons.map((reason) => reason.message).join('; '),
  ]);
  const header = [
    'verdict',
    'variant',
    'worker',
    'tier',
    'mean ms',
    'tail ms',
    'on time %',
    'accuracy',
    'cost $',
    'why not',
  ];
  return formatTable(header, rows);
}
