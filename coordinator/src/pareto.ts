import {
  type ParetoLine,
  type Place,
  ProfileBook,
  paretoLines,
  type RegisteredTask,
  type StoredReport,
} from '@nearfar/core';
import type { ParetoLineBody, Prices } from '@nearfar/protocol';
import { MAX_ACCURACY_DROP } from './dominated.ts';
import { isPageReporter } from './steps/learn.ts';

/** What was measured by workers and by pages, whose device classes have the same names. */
export interface Measured {
  readonly workers: ProfileBook;
  readonly pages: ProfileBook;
}

/**
 * The Pareto table of a task.
 *
 * @param places where workers run at present; pages are added where they measured something.
 * @param now milliseconds since 1970.
 */
export function paretoTable(
  task: RegisteredTask,
  { workers, pages }: Measured,
  places: readonly Place[],
  prices: Prices,
  now: number,
): ParetoLineBody[] {
  // Only single inputs are compared; finding them among all sizes takes long where pages report many device classes.
  const single = (from: ProfileBook) => from.view(now, task.task).filter(({ batch }) => batch === 1);
  const pageProfiles = single(pages);
  const pagePlaces = [...new Set(pageProfiles.map(({ deviceClass }) => deviceClass))].map(
    (deviceClass): Place => ({ tier: 'browser', deviceClass }),
  );
  return paretoLines({
    variants: task.variants,
    profiles: [...single(workers), ...pageProfiles],
    places: [...places, ...pagePlaces],
    prices,
    maxAccuracyDrop: MAX_ACCURACY_DROP,
  }).map(toBody);
}

/** Kept reports as books. */
export function measuredBy(reports: readonly StoredReport[]): Measured {
  const measured = { workers: new ProfileBook(), pages: new ProfileBook() };
  for (const stored of reports) {
    (isPageReporter(stored.reporter) ? measured.pages : measured.workers).absorb(stored);
  }
  return measured;
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
