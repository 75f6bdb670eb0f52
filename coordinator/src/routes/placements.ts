import { explainCandidates, type NetworkPath, networkTime, toUsd, ZERO } from '@nearfar/core';
import { LIMITS, type PlacementResponse, parseOrThrow, placementRequestSchema } from '@nearfar/protocol';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { describeChoice } from '../decisions.ts';
import { grantLease } from '../leases.ts';
import { admitSpec, admitTarget } from '../steps/admit.ts';
import { decideAmongAll } from '../steps/cascade.ts';
import { pageOptions, seenOver, workerOptions } from '../steps/options.ts';
import { refusalError } from '../steps/place.ts';
import { readJson } from './body.ts';
import { entry, gate } from './gate.ts';

/** A page that has not measured its network yet. */
const UNKNOWN_CALLER_NETWORK: NetworkPath = { rtt: { meanMs: 50, varianceMs2: 625 }, bytesPerMs: undefined };

/** `POST /v1/placements`: where a page's request should run, and the right to decide the next ones itself. */
export function placementRoutes(context: Context): Hono<AppEnvironment> {
  const routes = new Hono<AppEnvironment>();
  routes.post('/v1/placements', gate(context, 'client'), async (http) => {
    const { decisionId, subject } = entry(http);
    const json = await readJson(context, http, LIMITS.maxJsonBytes);
    const asked = parseOrThrow(placementRequestSchema, json, 'MESH_BAD_REQUEST', 'placement request');
    const target = admitTarget(context, { task: asked.task });
    const spec = admitSpec(target, asked.parameters);
    const { task } = target;

    const network = networkTime(pathOf(context, asked.network), asked.payloadBytes);
    const local = asked.device === undefined ? [] : pageOptions(context, task, asked.device, spec);
    // Made once, for the lease and for this decision: as they do for whatever the page will demand.
    const remote = workerOptions(context, { task, rows: 1, network: ZERO });
    const seen = remote.map((option) => seenOver(network, option));
    const one = { task, rows: 1, network };
    const decision = decideAmongAll(context, { task, spec, subject }, one, 0, [...local, ...seen]);
    const at = new Date(context.options.clock.wallTime()).toISOString();
    const source = 'placement';
    context.decisions.put(
      {
        id: decisionId,
        at,
        source,
        subject,
        task: task.task,
        spec,
        choice: describeChoice(decision),
        attempts: [],
      },
      () => explainCandidates(decision),
    );
    const { choice } = decision;
    const lease = await grantLease(context, {
      task,
      subject,
      deviceClass: asked.device?.deviceClass,
      former: asked.lease,
      options: remote,
    });
    const response: PlacementResponse =
      choice.kind === 'refused'
        ? {
            placement: null,
            refusal: refusalOf(refusalError(decision, decisionId, spec.privacy).toBody()),
            lease,
          }
        : {
            placement: {
              tier: choice.chosen.option.tier,
              variant: choice.chosen.option.variant,
              worker: choice.chosen.option.worker,
              accuracy: choice.chosen.option.accuracy,
              predicted_ms: choice.chosen.predictedMs,
              cost_usd: toUsd(choice.chosen.option.costPicoUsd),
              decision_id: decisionId,
            },
            lease,
          };
    return http.json(response);
  });
  return routes;
}

function refusalOf({
  error,
  code,
  details,
}: {
  error: string;
  code: string;
  details?: Record<string, unknown> | undefined;
}) {
  return { error, code, ...(details !== undefined && { details }) };
}

function pathOf(
  context: Context,
  report: { readonly rtt: NetworkPath['rtt']; readonly uplinkBytesPerMs?: number | undefined } | undefined,
): NetworkPath {
  if (report === undefined) return context.options.unknownCallerNetwork ?? UNKNOWN_CALLER_NETWORK;
  return { rtt: report.rtt, bytesPerMs: report.uplinkBytesPerMs };
}
