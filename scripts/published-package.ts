/** A package.json, of which only some fields are looked at. */
export type PackageJson = Readonly<Record<string, unknown>>;

/** Fields that mean nothing to those who install the package. */
const REPOSITORY_ONLY = new Set(['private', 'scripts', 'devDependencies', 'workspaces', 'allowScripts']);

/**
 * Gives the package.json of the built package, whose root is `dist`: entries point to JavaScript with its
 * types instead of TypeScript sources, fields for the repository only are left out.
 */
export function publishedManifest(manifest: PackageJson): PackageJson {
  const kept = Object.entries(manifest)
    .filter(([field]) => !REPOSITORY_ONLY.has(field))
    .map(([field, value]) => [
      field,
      field === 'exports' || field === 'imports' ? builtEntries(value) : value,
    ]);
  return { ...Object.fromEntries(kept), files: ['**', '!**/*.tsbuildinfo'] };
}

function builtEntries(value: unknown): unknown {
  if (typeof value === 'string') return builtEntry(value);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, builtEntries(entry)]));
}

function builtEntry(path: string): unknown {
  const built = path.replace(/^\.\/src\//, './');
  if (!built.endsWith('.ts')) return built;
  const stem = built.slice(0, -'.ts'.length);
  return { types: `${stem}.d.ts`, default: `${stem}.js` };
}

/**
 * Points `new URL('./x.ts', import.meta.url)` in emitted JavaScript to the emitted file. The compiler
 * rewrites imports only; workers are started by such URLs.
 */
export function rewriteUrls(code: string): string {
  return code.replaceAll(
    /(new URL\(\s*(['"`])\.{1,2}\/[^'"`]+)\.ts(\2,\s*import\.meta\.url\s*,?\s*\))/g,
    (_match, start, _quote, end) => `${start}.js${end}`,
  );
}
