import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { planView } from '../planning/plan-view.ts';
import { gate } from './gate.ts';

/** `GET /v1/plan`: what the slow loop found last; `plan` is null before that. */
export function planRoutes(context: Context): Hono<AppEnvironment> {
  const { planner, options } = context;
  return new Hono<AppEnvironment>().get('/v1/plan', gate(context, 'client'), (http) => {
    const { current } = planner;
    return http.json({ plan: current === undefined ? null : planView(current, options.clock.now()) });
  });
}
