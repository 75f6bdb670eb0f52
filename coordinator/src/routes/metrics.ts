import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { planMetrics, priceMetrics } from '../planning/plan-view.ts';
import { gate } from './gate.ts';

/** `GET /metrics` in the Prometheus text format. */
export function metricsRoutes(context: Context): Hono<AppEnvironment> {
  return new Hono<AppEnvironment>().get('/metrics', gate(context, 'client'), (http) => {
    const workers = context.fleet.list().map((worker) => ({
      tier: worker.hello.tier,
      state: worker.state,
      waiting: worker.load.load?.waiting ?? 0,
    }));
    const now = context.options.clock.now();
    context.leases.expire(now);
    return http.body(
      context.metrics.render(workers, context.leases.counts, context.calibrations.counts) +
        planMetrics(context.planner.current, now) +
        priceMetrics(context.shadowPrices.table),
      200,
      {
        'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
      },
    );
  });
}
