import type { RegisteredTask, TaskRecord } from '@nearfar/core';
import type {
  ErrorBody,
  RegistrationEvent,
  RegistrationOptions,
  RegistrationRequest,
} from '@nearfar/protocol';

/** Where the files of a manifest are: in folders of this machine, looked through in turn, or in the artifact store. */
export type RegistrationFiles =
  | { readonly kind: 'folders'; readonly folders: readonly string[] }
  | { readonly kind: 'artifacts'; readonly files: RegistrationRequest['files'] };

/** What a registration process is asked to do, once. */
export interface RegistrationOrder {
  readonly manifest: unknown;
  readonly options: RegistrationOptions;
  readonly files: RegistrationFiles;
  readonly known: TaskRecord | undefined;
  readonly stateDirectory: string;
}

/** What happens on the way. */
export type RegistrationNews = Extract<RegistrationEvent, { type: 'progress' | 'variant' | 'note' }>;

/** What it says meanwhile and at its end. */
export type RegistrationReply =
  | { readonly kind: 'event'; readonly event: RegistrationNews }
  | { readonly kind: 'done'; readonly task: RegisteredTask }
  | { readonly kind: 'failed'; readonly error: ErrorBody };
