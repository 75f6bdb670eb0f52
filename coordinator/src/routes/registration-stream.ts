import type { TaskRecord } from '@nearfar/core';
import {
  type Artifact,
  LIMITS,
  MeshError,
  manifestSchema,
  parseOrThrow,
  type RegistrationEvent,
  type RegistrationRequest,
  registrationRequestSchema,
} from '@nearfar/protocol';
import type { Context as HttpContext } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import type { Registrar, RegistrarEvent } from '../options.ts';
import { liveInfo } from '../rollout/live-info.ts';
import { readJson } from './body.ts';

/** Largest body of a registration: the paths and hashes of some 25,000 files. */
const MAX_BODY_BYTES = LIMITS.maxInferJsonBytes;

/** While nothing happens the last line is said again, so that nobody in between gives the connection up. */
const REPEAT_EVERY_MS = 15_000;

/** Missing files that an error lists. */
const MAX_LISTED = 64;

/**
 * `POST /v1/models`: registers a task from files that are in the artifact store, and answers with what happens as lines of
 * JSON. What goes wrong before anything happened is a plain error; after that it is the last line.
 */
export async function register(context: Context, http: HttpContext<AppEnvironment>): Promise<Response> {
  const { registrar } = context.options;
  if (registrar === undefined) {
    throw new MeshError('MESH_UNSUPPORTED', 'This deployment takes no registrations over HTTP');
  }
  const json = await readJson(context, http, MAX_BODY_BYTES);
  const request = parseOrThrow(registrationRequestSchema, json, 'MESH_BAD_REQUEST', 'registration');
  const { task } = parseOrThrow(manifestSchema, request.manifest, 'MESH_BAD_MANIFEST', 'manifest');
  const end = context.registrations.begin(task);
  const stream = new EventStream(context);
  const abort = new AbortController();
  const signal = AbortSignal.any([http.req.raw.signal, context.closing, abort.signal]);
  const work = run(context, registrar, request, task, (event) => stream.say(event), signal).catch(
    (error: unknown) => {
      throw asMeshError(context, error, signal);
    },
  );
  context.background(
    `registration of "${task}"`,
    work
      .then(
        (record) => stream.end({ type: 'done', task: liveInfo(context, record) }),
        (error: MeshError) => stream.end({ type: 'failed', error: error.toBody() }),
      )
      .finally(end),
  );
  // Until something happened an error is an answer of its own; it is the stream's last line as well, which nobody reads.
  await Promise.race([stream.begun, work]);
  return http.body(
    stream.open(() => abort.abort()),
    200,
    {
      'Content-Type': 'application/x-ndjson',
      'Cache-Control': 'no-store',
    },
  );
}

async function run(
  context: Context,
  registrar: Registrar,
  request: RegistrationRequest,
  task: string,
  emit: (event: RegistrarEvent) => void,
  signal: AbortSignal,
): Promise<TaskRecord> {
  await checkFiles(context, Object.entries(request.files));
  const registered = await registrar.register(request, context.catalog.record(task), emit, signal);
  if (registered.task !== task) {
    throw new RangeError(`Expected the registrar to give task "${task}", got "${registered.task}"`);
  }
  signal.throwIfAborted();
  const made = registered.variants.flatMap(({ artifacts, golden }) => [
    ...artifacts,
    ...(golden ? [golden] : []),
  ]);
  await checkFiles(
    context,
    made.map((artifact) => [artifact.path, artifact]),
  );
  return await context.rollouts.register(registered, request.options.rollout);
}

/** @throws MeshError `MESH_UNKNOWN_ARTIFACT` naming the files that are not in the store. */
async function checkFiles(
  { options }: Context,
  files: readonly (readonly [path: string, file: Pick<Artifact, 'sha256' | 'sizeBytes'>])[],
): Promise<void> {
  const missing: string[] = [];
  for (const [path, { sha256, sizeBytes }] of files) {
    const found = await options.artifacts.sizeOf(sha256);
    if (found === undefined) missing.push(path);
    else if (found !== sizeBytes) {
      throw new MeshError(
        'MESH_BAD_REQUEST',
        `Expected "${path.slice(0, 256)}" (${sha256}) to have ${sizeBytes} bytes, the artifact has ${found}`,
      );
    }
  }
  const [first] = missing;
  if (first === undefined) return;
  throw new MeshError(
    'MESH_UNKNOWN_ARTIFACT',
    `Expected every file to be in the artifact store, "${first.slice(0, 256)}"${missing.length > 1 ? ` and ${missing.length - 1} others are` : ' is'} not: send them with PUT /v1/artifacts/{sha256}`,
    { details: { missing: missing.slice(0, MAX_LISTED) } },
  );
}

/** The events of one registration as lines; those before somebody reads are kept. */
class EventStream {
  /** Resolves with the first event. */
  readonly begun: Promise<void>;
  readonly #begin: () => void;
  readonly #context: Context;
  readonly #early: Uint8Array[] = [];
  readonly #ended = new AbortController();
  #last: Uint8Array | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(context: Context) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.begun = promise;
    this.#begin = resolve;
    this.#context = context;
  }

  say(event: RegistrationEvent): void {
    if (this.#ended.signal.aborted) return;
    const line = new TextEncoder().encode(`${JSON.stringify(event)}\n`);
    if (event.type === 'progress') this.#last = line;
    this.#write(line);
    this.#begin();
  }

  /** Says the last event. */
  end(event: RegistrationEvent): void {
    this.say(event);
    this.#ended.abort();
    this.#controller?.close();
  }

  /** The stream of lines; `onCancel` is called when its reader goes away before the end. */
  open(onCancel: () => void): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        for (const line of this.#early.splice(0)) controller.enqueue(line);
        if (this.#ended.signal.aborted) controller.close();
        else this.#context.background('registration stream', this.#repeat());
      },
      cancel: () => {
        this.#controller = undefined;
        this.#ended.abort();
        onCancel();
      },
    });
  }

  #write(line: Uint8Array): void {
    if (this.#controller === undefined) this.#early.push(line);
    else this.#controller.enqueue(line);
  }

  async #repeat(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await this.#context.options.clock.sleep(REPEAT_EVERY_MS, signal).catch(() => undefined);
      if (!signal.aborted && this.#last !== undefined) this.#write(this.#last);
    }
  }
}

function asMeshError({ options }: Context, cause: unknown, signal: AbortSignal): MeshError {
  if (cause instanceof MeshError) return cause;
  if (signal.aborted) {
    // Of a caller that went away the reason is whatever the HTTP server makes of it, be it no error at all.
    const reason: unknown = signal.reason;
    return reason instanceof MeshError
      ? reason
      : new MeshError('MESH_CANCELLED', 'The caller went away', { cause });
  }
  options.log('error', 'registration failed', {
    error: cause instanceof Error ? (cause.stack ?? '') : String(cause),
  });
  return new MeshError('MESH_INTERNAL', 'The mesh failed; its log says why', { cause });
}
