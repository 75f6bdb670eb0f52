import { type Manifest, MeshError, manifestSchema } from '@nearfar/protocol';
import * as v from 'valibot';
import type { SourceFiles } from './source-files.ts';

/** A manifest whose labels are here. */
export interface CheckedManifest extends Omit<Manifest, 'labels'> {
  readonly labels: readonly string[] | undefined;
}

/** A name of a cascade holds those of two models, and may have 128 characters. */
const MAX_MODEL_NAME = 60;
/** A longer key is no slip of the finger, and takes long to compare. */
const MAX_KEY = 40;
/** Issues that an error lists; further ones are rarely of use before these are mended. */
const MAX_ISSUES = 8;
/** Characters of each: it repeats what was found, which may be anything. */
const MAX_MESSAGE = 300;

/**
 * Checks a manifest: its form, then what the form cannot say.
 *
 * @throws MeshError `MESH_BAD_MANIFEST`, naming each wrong field, what was expected and what was found; a misspelt key
 *   comes with the one that was probably meant.
 */
export async function readManifest(
  json: unknown,
  files: SourceFiles,
  what = 'manifest',
): Promise<CheckedManifest> {
  const result = v.safeParse(manifestSchema, json);
  if (!result.success) {
    const issues = result.issues.slice(0, MAX_ISSUES).map((issue) => {
      const { field, message } = describeIssue(issue);
      return { field: field.slice(0, MAX_MESSAGE), message: message.slice(0, MAX_MESSAGE) };
    });
    throw new MeshError(
      'MESH_BAD_MANIFEST',
      `Bad ${what}: ${issues.map(({ message }) => message).join('; ')}`,
      {
        details: { issues },
      },
    );
  }
  const manifest = result.output;
  const problem = problemOf(manifest);
  if (problem !== undefined) throw new MeshError('MESH_BAD_MANIFEST', `Bad ${what}: ${problem}`);
  const { labels } = manifest;
  return { ...manifest, labels: typeof labels === 'string' ? await readLabels(labels, files) : labels };
}

async function readLabels(path: string, files: SourceFiles): Promise<string[]> {
  const problem = (found: string) =>
    new MeshError('MESH_BAD_MANIFEST', `Expected "${path}" to hold a JSON list of labels, found ${found}`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await files.read(path)));
  } catch (cause) {
    throw cause instanceof MeshError ? cause : problem('no JSON');
  }
  if (!Array.isArray(json) || !json.every((label) => typeof label === 'string'))
    throw problem('something else');
  return json;
}

function describeIssue(issue: v.BaseIssue<unknown>): { field: string; message: string } {
  const field = v.getDotPath(issue) ?? '(root)';
  // A strict object reports a key that it does not know as one whose value should never be there.
  if (issue.kind === 'schema' && issue.expected === 'never') {
    const meant = closestKey(String(issue.path?.at(-1)?.key ?? ''));
    const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
    return { field, message: `"${field}": no such key${hint}` };
  }
  return { field, message: `"${field}": ${issue.message}` };
}

/** What a manifest of the right form may still get wrong. */
function problemOf(manifest: Manifest): string | undefined {
  return (
    rulesProblem(manifest) ??
    evalProblem(manifest.eval, manifest.postprocess) ??
    modelsProblem(manifest.models)
  );
}

function rulesProblem({ kind, labels, preprocess, postprocess }: Manifest): string | undefined {
  if (postprocess !== undefined && labels === undefined) {
    return 'expected "labels", since "postprocess" turns scores into labels; found none';
  }
  if (kind === 'image-classification' && postprocess?.kind === 'detection') {
    return '"postprocess.kind": expected "classification" for a task of kind "image-classification", found "detection"';
  }
  if (preprocess?.kind === 'audio' && kind !== 'audio-frame') {
    return `"preprocess.kind": expected "image" for a task of kind "${kind}", found "audio"`;
  }
  if (preprocess?.kind !== 'image') return undefined;
  const channels = preprocess.channels === 'rgb' ? 3 : 1;
  for (const field of ['mean', 'std'] as const) {
    const { length } = preprocess[field];
    if (length === 1 || length === channels) continue;
    const expected = channels === 1 ? 'one number' : 'one number, or one for each of the 3 channels';
    return `"preprocess.${field}": expected ${expected}, found ${length}`;
  }
  return undefined;
}

function modelsProblem(models: Manifest['models']): string | undefined {
  for (const [index, { name }] of models.entries()) {
    if (name.length <= MAX_MODEL_NAME) continue;
    return `"models.${index}.name": expected at most ${MAX_MODEL_NAME} characters, since names of variants are made of it, found ${name.length}`;
  }
  const ids = models.map(({ name, precision, format }) => `${name}-${precision}-${format}`);
  const twice = ids.findIndex((id, index) => ids.indexOf(id) !== index);
  if (twice < 0) return undefined;
  return `"models.${twice}": expected each name, precision and format once, found "${ids[twice]}" again; give the models different names`;
}

function evalProblem(rule: Manifest['eval'], postprocess: Manifest['postprocess']): string | undefined {
  if (rule === undefined) return undefined;
  const { format, images, labels, file, directory, metric, tolerance } = rule;
  if (format === 'idx' && (images === undefined || labels === undefined)) {
    return '"eval": expected "images" and "labels", the two IDX files; one is missing';
  }
  if (format === 'npz' && file === undefined) {
    return '"eval.file": expected the path of the .npz file, found none';
  }
  if (format === 'folder' && directory === undefined) {
    return '"eval.directory": expected the folder that holds a folder for each label, found none';
  }
  const isClassifier = postprocess?.kind === 'classification';
  if (isClassifier && metric === 'within') {
    return '"eval.metric": expected "top-1" or "top-5", since "postprocess" makes labels of the outputs, found "within"';
  }
  if (!isClassifier && metric !== 'within') {
    return `"eval.metric": expected "within", since no "postprocess" of kind "classification" makes labels of the outputs, found "${metric}"`;
  }
  if (metric === 'within' && tolerance === undefined) {
    return '"eval.tolerance": expected the largest difference that counts as right for metric "within", found none';
  }
  return undefined;
}

/** Every key that occurs somewhere in a manifest. */
const KNOWN_KEYS: ReadonlySet<string> = new Set(keysOf(manifestSchema));

function keysOf(schema: unknown): string[] {
  const { entries, options, item, wrapped, pipe } = schema as Partial<Record<string, unknown>>;
  const own = entries === undefined ? [] : Object.keys(entries as object);
  const inner = [
    ...Object.values((entries ?? {}) as object),
    ...((options ?? []) as unknown[]).filter((entry) => typeof entry === 'object'),
    ...[item, wrapped].filter((entry) => entry !== undefined),
    ...((pipe ?? []) as unknown[]).filter((entry) => entry !== schema && typeof entry === 'object').slice(1),
  ];
  return [...own, ...inner.flatMap(keysOf)];
}

/** The known key that needs the fewest edits, at most a third of its letters. */
function closestKey(found: string): string | undefined {
  if (found.length > MAX_KEY) return undefined;
  let best: { readonly key: string; readonly edits: number } | undefined;
  for (const key of KNOWN_KEYS) {
    const edits = editDistance(found.toLowerCase(), key.toLowerCase());
    if (edits <= Math.ceil(key.length / 3) && edits < (best?.edits ?? Number.POSITIVE_INFINITY))
      best = { key, edits };
  }
  return best?.key;
}

/** Levenshtein distance, one row at a time (Wagner & Fischer 1974). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...a].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...b].entries()) {
      const replaced = (row[column] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
