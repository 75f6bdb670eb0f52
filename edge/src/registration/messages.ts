import type { RegisteredTask, TaskRecord } from '@nearfar/core';
import type { ErrorBody, RegistrationEvent, RegistrationRequest } from '@nearfar/protocol';

/** What a registration process is asked to do, once. */
export interface RegistrationOrder {
  readonly request: RegistrationRequest;
  readonly known: TaskRecord | undefined;
  readonly stateDirectory: string;
}

/** What it says meanwhile and at its end. */
export type RegistrationReply =
  | {
      readonly kind: 'event';
      readonly event: Extract<RegistrationEvent, { type: 'progress' | 'variant' | 'note' }>;
    }
  | { readonly kind: 'done'; readonly task: RegisteredTask }
  | { readonly kind: 'failed'; readonly error: ErrorBody };
