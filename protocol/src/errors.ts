import * as v from 'valibot';

/** What a code means to a caller: its HTTP status and whether the same request may succeed later. */
export interface ErrorTraits {
  readonly status: number;
  readonly retryable: boolean;
}

/**
 * Every error code of the mesh. A code once published is never renamed; each has a heading in `docs/errors.md`.
 */
export const ERRORS = {
  MESH_BAD_REQUEST: { status: 400, retryable: false },
  MESH_BAD_TENSOR: { status: 400, retryable: false },
  MESH_BAD_PARAMETER: { status: 400, retryable: false },
  MESH_BAD_BINARY_BODY: { status: 400, retryable: false },
  MESH_BAD_MEDIA: { status: 400, retryable: false },
  MESH_UNSUPPORTED_MEDIA_TYPE: { status: 415, retryable: false },
  MESH_BODY_TOO_LARGE: { status: 413, retryable: false },
  MESH_BODY_TOO_SLOW: { status: 408, retryable: true },
  MESH_UNAUTHENTICATED: { status: 401, retryable: false },
  MESH_FORBIDDEN: { status: 403, retryable: false },
  MESH_NOT_FOUND: { status: 404, retryable: false },
  MESH_UNKNOWN_TASK: { status: 404, retryable: false },
  MESH_UNKNOWN_VARIANT: { status: 404, retryable: false },
  MESH_UNKNOWN_DECISION: { status: 404, retryable: false },
  MESH_UNKNOWN_ARTIFACT: { status: 404, retryable: false },
  MESH_RANGE_NOT_SATISFIABLE: { status: 416, retryable: false },
  MESH_WORKER_ID_TAKEN: { status: 409, retryable: true },
  MESH_NO_FEASIBLE_PLACEMENT: { status: 422, retryable: false },
  MESH_NO_CAPACITY: { status: 503, retryable: true },
  MESH_QUEUE_FULL: { status: 503, retryable: true },
  MESH_RATE_LIMITED: { status: 429, retryable: true },
  MESH_DRAINING: { status: 503, retryable: true },
  MESH_DEADLINE_EXCEEDED: { status: 504, retryable: false },
  MESH_CANCELLED: { status: 499, retryable: false },
  MESH_WORKER_LOST: { status: 503, retryable: true },
  MESH_VARIANT_NOT_READY: { status: 503, retryable: true },
  MESH_VARIANT_FAILED: { status: 500, retryable: true },
  MESH_EXECUTION_FAILED: { status: 500, retryable: true },
  MESH_ARTIFACT_CORRUPT: { status: 502, retryable: true },
  MESH_BAD_MANIFEST: { status: 400, retryable: false },
  MESH_BAD_MODEL: { status: 400, retryable: false },
  MESH_BAD_EVAL_DATA: { status: 400, retryable: false },
  MESH_BAD_SCENARIO: { status: 400, retryable: false },
  MESH_MODEL_IN_USE: { status: 409, retryable: true },
  MESH_NO_PREVIOUS_REVISION: { status: 409, retryable: false },
  MESH_REGISTRATION_BUSY: { status: 409, retryable: true },
  MESH_STORAGE_FULL: { status: 507, retryable: true },
  MESH_UNSUPPORTED: { status: 501, retryable: false },
  MESH_BAD_FRAME: { status: 400, retryable: false },
  MESH_PROTOCOL_MISMATCH: { status: 426, retryable: false },
  MESH_DEVICE_UNAVAILABLE: { status: 503, retryable: true },
  MESH_NETWORK: { status: 503, retryable: true },
  MESH_INTERNAL: { status: 500, retryable: false },
} as const satisfies Record<string, ErrorTraits>;

export type ErrorCode = keyof typeof ERRORS;

/** Plain data that explains an error; goes to the caller as it is. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** The error body of every HTTP answer and of `execute-refused`. */
export const errorBodySchema = v.object({
  error: v.string(),
  code: v.string(),
  retryable: v.boolean(),
  details: v.optional(v.record(v.string(), v.unknown())),
});
export type ErrorBody = v.InferOutput<typeof errorBodySchema>;

export interface MeshErrorOptions {
  readonly details?: ErrorDetails;
  readonly cause?: unknown;
  /** Seconds after which a retry may succeed; sent as `Retry-After`. */
  readonly retryAfterSeconds?: number;
}

/** The one error class of the mesh. Match on `code`; the message is for people. */
export class MeshError extends Error {
  override readonly name = 'MeshError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: MeshErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }

  /** The body that goes on the wire: no stack, no cause. */
  toBody(): ErrorBody {
    const body: ErrorBody = { error: this.message, code: this.code, retryable: this.retryable };
    return this.details === undefined ? body : { ...body, details: { ...this.details } };
  }

  /** Reads an error body that a peer sent. An unknown code becomes `MESH_INTERNAL`, keeping the message. */
  static fromBody(body: ErrorBody): MeshError {
    const code: ErrorCode = isErrorCode(body.code) ? body.code : 'MESH_INTERNAL';
    return new MeshError(code, body.error, body.details === undefined ? {} : { details: body.details });
  }
}

/** The error that a peer's answer holds, or undefined when it is no error body. */
export function readErrorBody(body: unknown): MeshError | undefined {
  const result = v.safeParse(errorBodySchema, body);
  return result.success ? MeshError.fromBody(result.output) : undefined;
}

/** Whether `code` is one of the table's. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/**
 * Checks `input` against `schema`; on failure throws a `MeshError` that names the field, what was expected and
 * what was found.
 */
export function parseOrThrow<const Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
  code: ErrorCode = 'MESH_BAD_REQUEST',
  what = 'request',
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, input);
  if (result.success) return result.output;
  const issues = result.issues.slice(0, 8).map((issue) => ({
    field: v.getDotPath(issue) ?? '(root)',
    expected: issue.expected ?? issue.type,
    found: issue.received,
    message: issue.message,
  }));
  const [first] = issues;
  const summary = first === undefined ? 'invalid' : `"${first.field}": ${first.message}`;
  throw new MeshError(code, `Bad ${what}: ${summary}`, { details: { issues } });
}
