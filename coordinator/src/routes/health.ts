import type { RegisteredTask } from '@nearfar/core';
import type { VariantSpec } from '@nearfar/protocol';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { serves } from '../rollout/warm.ts';

/** `GET /v2/health/live` and `/ready`: open to everyone. */
export function healthRoutes(context: Context): Hono<AppEnvironment> {
  return new Hono<AppEnvironment>()
    .get('/v2/health/live', (http) => http.json({ live: true }))
    .get('/v2/health/ready', (http) => {
      const isReady = context.catalog.list().some((task) => isServed(context, task));
      return http.json({ ready: isReady }, isReady ? 200 : 503);
    });
}

/** Whether a worker could answer for the task (or for one of its variants) now; of a cascade, for both stages. */
export function isServed(context: Context, task: RegisteredTask, variantName?: string): boolean {
  const workers = context.fleet.list();
  const isRun = (variant: VariantSpec) => workers.some((worker) => serves(context.book, worker, variant));
  const isStageRun = (name: string) => task.variants.some((entry) => entry.variant === name && isRun(entry));
  return task.variants
    .filter((entry) => variantName === undefined || entry.variant === variantName)
    .some((entry) =>
      entry.cascade === undefined
        ? isRun(entry)
        : isStageRun(entry.cascade.small) && isStageRun(entry.cascade.large),
    );
}
