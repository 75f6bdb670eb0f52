import {
  decide,
  explainCandidates,
  type NetworkPath,
  networkTime,
  type Option,
  pagePrices,
  type RegisteredTask,
  toUsd,
  ZERO,
} from '@nearfar/core';
import {
  type Lease,
  type LeasedOption,
  LIMITS,
  type PlacementResponse,
  parseOrThrow,
  placementRequestSchema,
} from '@nearfar/protocol';
import { Hono } from 'hono';
import { createLeaseId } from '../auth.ts';
import type { AppEnvironment, Context } from '../context.ts';
import { describeChoice } from '../decisions.ts';
import { admitSpec, admitTarget } from '../steps/admit.ts';
import { pageOptions, workerOptions } from '../steps/decide.ts';
import { refusalError } from '../steps/place.ts';
import { readJson } from './body.ts';
import { entry, gate } from './gate.ts';

/** For how long a page may decide by itself. Pages ask again well before, for the fleet's newest load. */
export const LEASE_TTL_MS = LIMITS.maxLeaseTtlMs;

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
    const decision = decide(spec, [...local, ...workerOptions(context, { task, rows: 1, network }, spec)]);
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
    const lease = await createLease(context, task, subject, asked.device?.deviceClass);
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

async function createLease(
  context: Context,
  task: RegisteredTask,
  subject: string,
  deviceClass: string | undefined,
): Promise<Lease> {
  const remote = workerOptions(context, { task, rows: 1, network: ZERO })
    .filter((option) => option.blockers.length === 0)
    .flatMap(leasedOption);
  const profiles = task.variants.flatMap((variant) => {
    const service =
      deviceClass === undefined ? undefined : context.pageBook.service({ ...variant, deviceClass }, 1);
    if (service === undefined) return [];
    const { compute, samples } = service;
    return [{ variant: variant.variant, revision: variant.revision, compute, samples }];
  });
  const id = await createLeaseId(context.options.secret, { subject, task: task.task, ttlMs: LEASE_TTL_MS });
  return { id, ttlMs: LEASE_TTL_MS, remote, profiles, prices: pagePrices(context.options.prices) };
}

function leasedOption(option: Option): LeasedOption[] {
  const { parts, blockers: _, tier, ...facts } = option;
  if (tier === 'browser') return [];
  return [{ ...facts, tier, link: parts.network, wait: parts.queue, compute: parts.compute }];
}
