import {
  type ParetoLine,
  type Place,
  type ProfileBook,
  paretoLines,
  type RegisteredTask,
  workerUsdPerHour,
} from '@nearfar/core';
import type { ParetoLineBody } from '@nearfar/protocol';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { MAX_ACCURACY_DROP } from '../dominated.ts';
import { gate } from './gate.ts';

/** `GET /v1/pareto`: what each variant is worth on each device class, and which ones are dominated there. */
export function paretoRoutes(context: Context): Hono<AppEnvironment> {
  const { catalog } = context;
  return new Hono<AppEnvironment>().get('/v1/pareto', gate(context, 'client'), (http) =>
    http.json({ tasks: catalog.list().map((task) => ({ task: task.task, lines: linesOf(context, task) })) }),
  );
}

function linesOf(context: Context, task: RegisteredTask): ParetoLineBody[] {
  const { book, pageBook, options } = context;
  const now = options.clock.wallTime();
  // Only single inputs are compared; finding them among all sizes takes long where pages report many device classes.
  const single = (from: ProfileBook) => from.view(now, task.task).filter(({ batch }) => batch === 1);
  const pageProfiles = single(pageBook);
  const pages = [...new Set(pageProfiles.map(({ deviceClass }) => deviceClass))].map(
    (deviceClass): Place => ({ tier: 'browser', deviceClass }),
  );
  const lines = paretoLines({
    variants: task.variants,
    profiles: [...single(book), ...pageProfiles],
    places: [...workerPlaces(context), ...pages],
    prices: options.prices,
    maxAccuracyDrop: MAX_ACCURACY_DROP,
  });
  return lines.map(toBody);
}

function workerPlaces({ fleet, options }: Context): Place[] {
  return fleet.list().map(({ hello }) => ({
    tier: hello.tier,
    deviceClass: hello.device.deviceClass,
    usdPerHour: workerUsdPerHour(options.prices, hello),
  }));
}

function toBody({ variant, sizeBytes, cells }: ParetoLine): ParetoLineBody {
  return {
    variant,
    sizeBytes,
    cells: cells.map(({ costs, dominatedBy, ...figures }) => ({
      ...figures,
      costs: [...costs],
      ...(dominatedBy !== undefined && { dominatedBy }),
    })),
  };
}
