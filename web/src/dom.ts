/** What may stand inside an element; `undefined` and `false` stand for nothing. */
export type Child = Node | string | undefined | false;

/** Attribute values; `true` sets an empty attribute, `false` and `undefined` leave it out. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** Builds an element. Text is always text, never markup. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    node.setAttribute(key, value === true ? '' : String(value));
  }
  node.append(...present(children));
  return node;
}

/** Replaces what is inside `parent`. */
export function fill(parent: Element, ...children: readonly Child[]): void {
  parent.replaceChildren(...present(children));
}

/** The element with this id, of this class; its absence is a mistake in the page. */
export function byId<Type extends HTMLElement>(id: string, type: new () => Type): Type {
  const node = document.getElementById(id);
  if (!(node instanceof type)) throw new Error(`Expected an element "${id}" of type ${type.name}`);
  return node;
}

/**
 * Makes the children of `parent` the list of `items`. An item that did not change keeps its element in place, so that
 * focus, selection and scroll position survive a refresh.
 */
export function renderList<Item>(
  parent: Element,
  items: readonly Item[],
  keyOf: (item: Item) => string,
  build: (item: Item) => HTMLElement,
): void {
  const known = new Map<string, HTMLElement>();
  for (const child of [...parent.children]) {
    if (child instanceof HTMLElement && child.dataset.key !== undefined) known.set(child.dataset.key, child);
    else child.remove();
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const signature = JSON.stringify(item);
    const former = known.get(key);
    known.delete(key);
    if (former?.dataset.signature === signature) {
      if (former === next) next = next.nextElementSibling;
      else parent.insertBefore(former, next);
      continue;
    }
    const built = build(item);
    built.dataset.key = key;
    built.dataset.signature = signature;
    if (former !== undefined) {
      const hadFocus = former.contains(document.activeElement);
      if (former === next) next = next.nextElementSibling;
      former.remove();
      parent.insertBefore(built, next);
      if (hadFocus) built.querySelector<HTMLElement>('button, a')?.focus({ preventScroll: true });
    } else {
      parent.insertBefore(built, next);
    }
  }
  for (const left of known.values()) left.remove();
}

function present(children: readonly Child[]): (Node | string)[] {
  return children.filter((child) => child !== undefined && child !== false);
}
