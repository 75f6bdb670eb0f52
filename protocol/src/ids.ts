import * as v from 'valibot';

/** What a task, model or variant may be called. Also the segment of a URL, a file name and a metric label. */
export const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,127}$/;

/** A task, model or variant name: lower-case letters, digits, dot, underscore and hyphen; 1 to 128 characters. */
export const nameSchema = v.pipe(
  v.string(),
  v.regex(
    NAME_PATTERN,
    'Expected lower-case letters, digits, ".", "_" or "-", starting with a letter or digit',
  ),
);

/** A worker's identity, chosen by the worker; the same rules as a name, plus upper-case letters. */
export const workerIdSchema = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
    'Expected letters, digits, ".", "_" or "-" (1 to 128 characters)',
  ),
);

/** Lower-case hexadecimal SHA-256. */
export const sha256Schema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'Expected 64 hexadecimal digits'));

/** An opaque id made by the mesh (decision, request, lease, session). */
export const opaqueIdSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_-]{1,64}$/, 'Expected 1 to 64 of A-Z a-z 0-9 _ -'),
);

/** The three places where a request can run. */
export const TIERS = ['browser', 'edge', 'pool'] as const;
export const tierSchema = v.picklist(TIERS);
export type Tier = (typeof TIERS)[number];

/**
 * A device class: hardware that shares a profile, for example `cpu:amd-epyc-9r14:2`, `webgpu:google-swiftshader`.
 * Coarse on purpose: a page sends nothing that would identify a visitor.
 */
export const deviceClassSchema = v.pipe(
  v.string(),
  v.regex(
    /^[a-z0-9][a-z0-9:._-]{0,95}$/,
    'Expected a device class such as "cpu:x64-4" or "webgpu:apple-metal-3"',
  ),
);
