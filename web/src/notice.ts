import { MeshError } from '@nearfar/protocol';
import { element, fill } from './dom.ts';
import { keepToken } from './session-token.ts';

/** Shows what went wrong and what to do about it in `parent`; `undefined` clears it. */
export function showNotice(parent: Element, error: unknown): void {
  if (error === undefined) {
    fill(parent);
    return;
  }
  const code = error instanceof MeshError ? error.code : undefined;
  const message = error instanceof Error ? error.message : String(error);
  // Built once per problem: a refresh every two seconds must not wipe what someone types into the form.
  const signature = `${code}: ${message}`;
  const shown = parent.firstElementChild;
  if (shown instanceof HTMLElement && shown.dataset.signature === signature) return;
  const needsToken = code === 'MESH_UNAUTHENTICATED' || code === 'MESH_FORBIDDEN';
  const notice = element(
    'div',
    { class: 'notice', role: 'alert', 'data-signature': signature },
    element('strong', {}, headline(code)),
    element('p', {}, needsToken ? `${message}. ${TOKEN_ADVICE}` : message),
    needsToken && tokenForm(),
  );
  fill(parent, notice);
}

const TOKEN_ADVICE =
  'Open the address that "nearfar up" printed, which carries a token, or paste one made by "nearfar token create".';

function headline(code: string | undefined): string {
  if (code === 'MESH_UNAUTHENTICATED') return 'This mesh asks for a token';
  if (code === 'MESH_FORBIDDEN') return 'This token may not see this';
  if (code === 'MESH_NETWORK') return 'The mesh does not answer';
  return 'Something went wrong';
}

function tokenForm(): HTMLFormElement {
  const input = element('input', {
    name: 'token',
    required: true,
    'aria-label': 'Token',
    placeholder: 'eyJ…',
  });
  const form = element('form', { class: 'token-form' }, input, element('button', {}, 'Use token'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    keepToken(input.value);
    location.reload();
  });
  return form;
}
