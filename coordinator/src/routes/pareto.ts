import { type Place, workerUsdPerHour } from '@nearfar/core';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { paretoTable } from '../pareto.ts';
import { gate } from './gate.ts';

/** `GET /v1/pareto`: what each variant is worth on each device class, and which ones are dominated there. */
export function paretoRoutes(context: Context): Hono<AppEnvironment> {
  const { catalog, book, pageBook, options } = context;
  return new Hono<AppEnvironment>().get('/v1/pareto', gate(context, 'client'), (http) => {
    const measured = { workers: book, pages: pageBook };
    const places = workerPlaces(context);
    const now = options.clock.wallTime();
    return http.json({
      tasks: catalog.list().map((task) => ({
        task: task.task,
        lines: paretoTable(task, measured, places, options.prices, now),
      })),
    });
  });
}

function workerPlaces({ fleet, options }: Context): Place[] {
  return fleet.list().map(({ hello }) => ({
    tier: hello.tier,
    deviceClass: hello.device.deviceClass,
    usdPerHour: workerUsdPerHour(options.prices, hello),
  }));
}
