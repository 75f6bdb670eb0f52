import { LIMITS, outcomesRequestSchema, parseOrThrow } from '@nearfar/protocol';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { learnFromPage, learnOutcomes } from '../steps/learn.ts';
import { readJson } from './body.ts';
import { gate } from './gate.ts';

/** `POST /v1/outcomes`: what pages did and measured by themselves. Answers how many items counted. */
export function outcomeRoutes(context: Context): Hono<AppEnvironment> {
  const routes = new Hono<AppEnvironment>();
  routes.post('/v1/outcomes', gate(context, 'client'), async (http) => {
    const json = await readJson(context, http, LIMITS.maxJsonBytes);
    const { outcomes, profiles } = parseOrThrow(
      outcomesRequestSchema,
      json,
      'MESH_BAD_REQUEST',
      'outcomes report',
    );
    const { subject } = http.get('claims');
    return http.json({
      outcomes: await learnOutcomes(context, subject, outcomes),
      profiles: learnFromPage(context, subject, profiles),
    });
  });
  return routes;
}
