import type { ArtifactStore, TaskRecord } from '@nearfar/core';
import type { RegistrationEvent } from '@nearfar/protocol';
import type { Journal } from './journal.ts';
import type { SourceFiles } from './source-files.ts';
import type { VariantRunner } from './variant-runner.ts';

/** What a registration works with. */
export interface RegistrationParts {
  readonly files: SourceFiles;
  readonly artifacts: ArtifactStore;
  readonly journal: Journal;
  /** Runs variants. Without it nothing is made or measured: the task gets its supplied variants as declared. */
  readonly runner: VariantRunner | undefined;
  /** What the registry holds of the task. */
  readonly known: TaskRecord | undefined;
  /** Milliseconds since 1970. */
  readonly wallTime: () => number;
  readonly emit: (event: Extract<RegistrationEvent, { type: 'progress' | 'variant' | 'note' }>) => void;
  readonly signal: AbortSignal;
}

/** The same where there is something to run variants with. */
export interface RunningParts extends RegistrationParts {
  readonly runner: VariantRunner;
}
