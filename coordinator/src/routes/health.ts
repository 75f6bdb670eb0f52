import type { RegisteredTask } from '@nearfar/core';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';

/** `GET /v2/health/live` and `/ready`: open to everyone. */
export function healthRoutes(context: Context): Hono<AppEnvironment> {
  return new Hono<AppEnvironment>()
    .get('/v2/health/live', (http) => http.json({ live: true }))
    .get('/v2/health/ready', (http) => {
      const isReady = context.catalog.list().some((task) => isServed(context, task));
      return http.json({ ready: isReady }, isReady ? 200 : 503);
    });
}

/** Whether a worker could answer for the task (or for one of its variants) now. */
export function isServed(context: Context, task: RegisteredTask, variantName?: string): boolean {
  const variants = task.variants.filter(
    (entry) => variantName === undefined || entry.variant === variantName,
  );
  return context.fleet
    .list()
    .some(
      (worker) =>
        worker.state === 'active' &&
        variants.some(
          (variant) =>
            worker.replica(variant)?.state === 'ready' &&
            context.book.service({ ...variant, deviceClass: worker.hello.device.deviceClass }, 1) !==
              undefined,
        ),
    );
}
