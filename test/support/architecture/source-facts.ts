import { parseSync } from 'vite';

/** What the architecture rules need to know about one source file. */
export interface SourceFacts {
  /** Path inside the package with forward slashes, such as `src/entry/node.ts`. */
  readonly path: string;
  /** Every module specifier: imports, re-exports, types and `import.meta.resolve`, in source order. */
  readonly specifiers: readonly string[];
  /** Names used as values or types, without property names; `Math.random` and `import.meta.dirname` are spelt out. */
  readonly names: ReadonlySet<string>;
}

type Node = Readonly<Record<string, unknown>> & { readonly type: string };

/**
 * Reads the facts from TypeScript or JavaScript source.
 *
 * A name counts wherever it stands for a binding, so a local variable called `process` counts too:
 * the rules have no scopes, and such a name would mislead readers as well.
 */
export function readSource(path: string, code: string): SourceFacts {
  const { program, errors } = parseSync(path, code);
  const [firstError] = errors;
  if (firstError !== undefined) throw new Error(`${path} does not parse: ${firstError.message}`);

  const specifiers: string[] = [];
  const names = new Set<string>();
  visit(program, undefined, '', (node, parent, key) => {
    const specifier = specifierOf(node);
    if (specifier !== undefined) specifiers.push(specifier);
    if (node.type === 'Identifier' && !isPropertyName(parent, key)) names.add(String(node.name));
    for (const name of spelledOut(node)) names.add(name);
  });
  return { path, specifiers, names };
}

function visit(
  value: unknown,
  parent: Node | undefined,
  key: string,
  see: (node: Node, parent: Node | undefined, key: string) => void,
): void {
  if (Array.isArray(value)) {
    for (const item of value) visit(item, parent, key, see);
    return;
  }
  if (!isNode(value)) return;
  see(value, parent, key);
  for (const [childKey, child] of Object.entries(value)) visit(child, value, childKey, see);
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

function specifierOf(node: Node): string | undefined {
  if (node.type === 'TSExternalModuleReference') return stringValue(node.expression);
  if (node.type === 'CallExpression' && memberPath(node.callee) === 'import.meta.resolve') {
    return stringValue(Array.isArray(node.arguments) ? node.arguments[0] : undefined);
  }
  // Import and export declarations, `import()` and `import('…').Type` all keep it in `source`.
  return stringValue(node.source);
}

function stringValue(value: unknown): string | undefined {
  if (!isNode(value)) return undefined;
  if (value.type === 'TemplateLiteral') return singleQuasi(value);
  return value.type === 'Literal' && typeof value.value === 'string' ? value.value : undefined;
}

function singleQuasi(template: Node): string | undefined {
  if (!Array.isArray(template.quasis) || template.quasis.length !== 1) return undefined;
  return template.quasis[0].value.cooked;
}

function isPropertyName(parent: Node | undefined, key: string): boolean {
  if (parent === undefined) return false;
  if (key === 'property' || key === 'key') return parent.computed !== true;
  if (parent.type === 'TSQualifiedName') return key === 'right';
  if (parent.type === 'ImportSpecifier') return key === 'imported';
  if (parent.type === 'ExportSpecifier') return key === 'exported';
  return parent.type === 'MetaProperty';
}

/** Gives `Math.random` and the folder of `import.meta`, however they are reached. */
function spelledOut(node: Node): readonly string[] {
  if (node.type === 'MemberExpression') {
    const path = memberPath(node);
    return path === undefined ? [] : [path];
  }
  if (node.type === 'VariableDeclarator' && isNode(node.id) && node.id.type === 'ObjectPattern') {
    const owner = memberPath(node.init);
    const properties = Array.isArray(node.id.properties) ? node.id.properties : [];
    return owner === undefined ? [] : properties.map((property) => `${owner}.${property.key?.name}`);
  }
  return [];
}

/** `Math.random` and `Math['random']` give `Math.random`; anything that is not a plain chain gives undefined. */
function memberPath(value: unknown): string | undefined {
  if (!isNode(value)) return undefined;
  if (value.type === 'Identifier') return String(value.name);
  if (value.type === 'MetaProperty') return 'import.meta';
  if (value.type !== 'MemberExpression') return undefined;
  const owner = memberPath(value.object);
  const property = value.computed === true ? stringValue(value.property) : nameOf(value.property);
  return owner === undefined || property === undefined ? undefined : `${owner}.${property}`;
}

function nameOf(value: unknown): string | undefined {
  return isNode(value) && typeof value.name === 'string' ? value.name : undefined;
}
