import type { Profile, ProfileTable } from '../profile-table.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { RequestActor, WorkerActor } from './actors.ts';
import type { EventQueue } from './event-queue.ts';
import type { Ledger } from './ledger.ts';
import type { Machines } from './machines.ts';
import type { SimulatedOutcome } from './policy.ts';

/** What answered a request; no worker = its caller's own device. */
export interface AnsweredBy {
  readonly worker?: WorkerActor;
  readonly profile: Profile;
  readonly batchSize: number;
  readonly serviceMs: number;
}

/** What the parts of a run share: its time, what will happen, and its books. */
export interface Run {
  readonly scenario: Scenario;
  readonly profiles: ProfileTable;
  readonly events: EventQueue;
  readonly machines: Machines;
  readonly ledger: Ledger;
  readonly nowMs: number;
  /** Before the first arrival: what is loaded or started now is there at once and costs nothing. */
  readonly isStarting: boolean;
  /** Hands a request whose small stage was not sure back to the policy; false where there is nothing more to do. */
  escalate(request: RequestActor, by: AnsweredBy): boolean;
  /** Ends a request, now. */
  end(request: RequestActor, kind: SimulatedOutcome['kind'], by?: AnsweredBy): void;
}
