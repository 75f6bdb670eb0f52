const KEY = 'nearfar-token';

/**
 * The token of this tab. A `?token=` in the address is moved to the session storage and removed from the address
 * bar, so that it does not end up in bookmarks, screenshots or the `Referer` header.
 */
export function takeToken(): string | undefined {
  const url = new URL(location.href);
  const given = url.searchParams.get('token');
  if (given !== null) {
    keepToken(given);
    url.searchParams.delete('token');
    history.replaceState(history.state, '', url);
  }
  return sessionStorage.getItem(KEY) ?? undefined;
}

/** Keeps `token` until the tab is closed. */
export function keepToken(token: string): void {
  sessionStorage.setItem(KEY, token.trim());
}
