import { LIMITS, type OutcomesResponse, outcomesRequestSchema, parseOrThrow } from '@nearfar/protocol';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { takeLeaseReport } from '../leases.ts';
import { learnFromPage, learnOutcomes } from '../steps/learn.ts';
import { readJson } from './body.ts';
import { gate } from './gate.ts';

/** `POST /v1/outcomes`: what pages did and measured by themselves. Answers how many items counted, and newer prices. */
export function outcomeRoutes(context: Context): Hono<AppEnvironment> {
  const routes = new Hono<AppEnvironment>();
  routes.post('/v1/outcomes', gate(context, 'client'), async (http) => {
    const json = await readJson(context, http, LIMITS.maxJsonBytes);
    const { outcomes, profiles, leases, priceEpoch } = parseOrThrow(
      outcomesRequestSchema,
      json,
      'MESH_BAD_REQUEST',
      'outcomes report',
    );
    const { subject } = http.get('claims');
    for (const report of leases) await takeLeaseReport(context, subject, report);
    const { table } = context.shadowPrices;
    const response: OutcomesResponse = {
      outcomes: await learnOutcomes(context, subject, outcomes),
      profiles: learnFromPage(context, subject, profiles),
      ...(priceEpoch !== undefined && priceEpoch !== table.epoch && { prices: table }),
    };
    return http.json(response);
  });
  return routes;
}
