import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createApi } from '../../../client-sdk/src/api.ts';

const sent: (string | null)[] = [];

beforeEach(() => {
  sent.length = 0;
  vi.stubGlobal('fetch', async (_url: string, { headers }: RequestInit) => {
    sent.push(new Headers(headers).get('authorization'));
    return Response.json({ models: [] });
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('the token of a call', () => {
  test('is the one that was given, and none when it is empty', async () => {
    await createApi('http://mesh.test', 'fixed').models();
    await createApi('http://mesh.test', '').models();
    expect(sent).toEqual(['Bearer fixed', null]);
  });

  test('is asked for anew each time when it is a function', async () => {
    const tokens = ['first', 'second'];
    const api = createApi('http://mesh.test', async () => tokens.shift() ?? '');
    for (let call = 0; call < 3; call += 1) await api.models();
    expect(sent).toEqual(['Bearer first', 'Bearer second', null]);
  });

  test('that cannot be had is told as a mesh that cannot be reached, and nothing is sent', async () => {
    const api = createApi('http://mesh.test', () => {
      throw new Error('logged out');
    });
    await expect(api.models()).rejects.toMatchObject({
      code: 'MESH_NETWORK',
      message: expect.stringContaining('logged out'),
    });
    expect(sent).toEqual([]);
  });

  test('is not waited for after an abort', async () => {
    const caller = new AbortController();
    const api = createApi('http://mesh.test', () => new Promise<string>(() => undefined));
    const models = api.models(caller.signal);
    caller.abort(new Error('gone'));
    await expect(models).rejects.toThrow('gone');
    expect(sent).toEqual([]);
  });
});
