import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import type { PackageRules } from './rules.ts';
import type { SourceFacts } from './source-facts.ts';

/** The parts of package.json that imports are held to. */
export interface Manifest {
  readonly name: string;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly imports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** One package as the checks see it. */
export interface PackageFacts {
  readonly rules: PackageRules;
  readonly manifest: Manifest;
  readonly sources: readonly SourceFacts[];
}

/**
 * Gives one line for each import or name that the rules do not allow, in source order.
 *
 * `manifests` holds every package of the repository by name, for what each of them exports.
 */
export function checkImports(
  facts: PackageFacts,
  manifests: ReadonlyMap<string, Manifest>,
): readonly string[] {
  return facts.sources.flatMap((source) => [
    ...source.specifiers.flatMap((specifier) => {
      const reason = whyForbidden(specifier, source.path, facts, manifests);
      return reason === undefined ? [] : [`${facts.rules.folder}/${source.path}: "${specifier}" ${reason}`];
    }),
    ...bannedNames(facts.rules, source),
  ]);
}

function bannedNames(rules: PackageRules, source: SourceFacts): readonly string[] {
  if (isNodePath(rules, source.path)) return [];
  return (rules.bannedNames ?? [])
    .filter((name) => source.names.has(name))
    .map((name) => `${rules.folder}/${source.path}: uses ${name}`);
}

function isNodePath(rules: PackageRules, path: string): boolean {
  return rules.nodePaths?.test(path) ?? false;
}

function whyForbidden(
  specifier: string,
  path: string,
  { rules, manifest }: PackageFacts,
  manifests: ReadonlyMap<string, Manifest>,
): string | undefined {
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier);
    // Published packages hold what is under `src` and nothing beside it.
    return target.startsWith('src/') ? undefined : 'leaves src';
  }
  if (specifier.startsWith('#')) {
    return Object.hasOwn(manifest.imports ?? {}, specifier) ? undefined : 'is not among the "imports"';
  }
  if (isBuiltin(specifier)) {
    if (!specifier.startsWith('node:')) return 'needs the node: prefix';
    return rules.node || isNodePath(rules, path) ? undefined : 'binds the package to Node';
  }
  if (isWorkerdModule(specifier)) {
    return rules.workerdPaths?.test(path) ? undefined : 'binds the package to workerd';
  }

  const name = packageName(specifier);
  const target = manifests.get(name);
  if (target !== undefined) {
    if (!rules.internal.includes(name)) return 'is against the arrows';
    return isExported(specifier, target) ? undefined : `is not exported by ${name}`;
  }
  if (rules.external !== 'declared' && !rules.external.includes(name))
    return 'is not a library of this package';
  const forNodeOnly = rules.nodePackages?.includes(name) ?? false;
  return forNodeOnly && !isNodePath(rules, path) ? 'binds the package to Node' : undefined;
}

function isWorkerdModule(specifier: string): boolean {
  return specifier.startsWith('cloudflare:');
}

function isExported(specifier: string, { name, exports = {} }: Manifest): boolean {
  return Object.hasOwn(exports, `.${specifier.slice(name.length)}`);
}

/** `@scope/name/inner` gives `@scope/name`, `name/inner` gives `name`. */
function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/**
 * Gives one line for each package that is imported but not declared in package.json, or declared but
 * never imported.
 */
export function checkDeclarations({ rules, manifest, sources }: PackageFacts): readonly string[] {
  const declared = new Set(
    [manifest.dependencies, manifest.peerDependencies, manifest.optionalDependencies].flatMap((group) =>
      Object.keys(group ?? {}),
    ),
  );
  const imported = new Set(
    sources
      .flatMap((source) => source.specifiers)
      .filter((specifier) => !/^[.#]/.test(specifier) && !isBuiltin(specifier) && !isWorkerdModule(specifier))
      .map(packageName),
  );
  return [
    ...[...imported]
      .filter((name) => !declared.has(name))
      .map((name) => `${rules.folder}: ${name} is not declared`),
    ...[...declared]
      .filter((name) => !imported.has(name))
      .map((name) => `${rules.folder}: ${name} is not used`),
  ];
}
