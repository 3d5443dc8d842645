import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { call } from '../src/lib/api';
import { Refusal } from '../src/lib/refusal';

const busy = (): Response => new Response('{"code":"PS003","message":"busy"}', { status: 503, headers: { 'Retry-After': '0' } });
const fine = (): Response => new Response('[]', { status: 200 });

describe('a server that is too busy now', () => {
  let answers: (() => Response)[] = [];
  let asked: string[] = [];

  beforeEach(() => {
    asked = [];
    vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
      if (path === '/config.json') return new Response('{"anon_key":"k","name":"n","version":"1"}');
      asked.push(`${init.method} ${path}`);
      return (answers.shift() ?? fine)();
    });
  });
  afterEach(() => vi.unstubAllGlobals());

  it('is asked again by what changes nothing', async () => {
    answers = [busy, busy, fine];
    expect((await call('/rest/v1/contents')).status).toBe(200);
    expect(asked).toEqual(Array(3).fill('GET /rest/v1/contents'));
  });

  it('is asked so often, and then said so', async () => {
    answers = Array(9).fill(busy);
    await expect(call('/me/history')).rejects.toMatchObject({ status: 503 });
    expect(asked).toHaveLength(4);
  });

  it('is not told twice what may count twice', async () => {
    for (const options of [{ body: {} }, { method: 'DELETE' }, { method: 'PUT', body: {} }]) {
      answers = [busy];
      asked = [];
      await expect(call('/rest/v1/rpc/x', options)).rejects.toBeInstanceOf(Refusal);
      expect(asked, JSON.stringify(options)).toHaveLength(1);
    }
    answers = [busy];
    asked = [];
    await call('/auth/v1/token', { body: {}, isRepeatable: true });
    expect(asked).toHaveLength(2);
  });
});

describe('a server that takes the request and says nothing', () => {
  const forms: [string, Parameters<typeof call>[1], number][] = [
    ['a question is put four times', {}, 4],
    ['a change is made once', { body: {} }, 1],
  ];
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it.each(forms)('%s, and then it is said', async (_, options, times) => {
    vi.useFakeTimers();
    let asked = 0;
    vi.stubGlobal('fetch', (path: string, init: RequestInit) => {
      if (path === '/config.json') return Promise.resolve(new Response('{"anon_key":"k","name":"n","version":"1"}'));
      if (path !== '/readyz') asked += 1;
      return new Promise((_resolve, reject) => init.signal?.addEventListener('abort', () => reject(init.signal?.reason)));
    });
    const said = expect(call('/rest/v1/contents', options)).rejects.toMatchObject({ status: 0, isOffline: true, isPassing: true });
    await vi.advanceTimersByTimeAsync(180_000);
    await said;
    expect(asked).toBe(times);
  });

  it('a body that stands still is no answer either', async () => {
    vi.useFakeTimers();
    vi.stubGlobal('fetch', (path: string, init: RequestInit) => {
      if (path === '/config.json') return Promise.resolve(new Response('{"anon_key":"k","name":"n","version":"1"}'));
      const body = new ReadableStream({ start: (flow) => init.signal?.addEventListener('abort', () => flow.error(init.signal?.reason)) });
      return Promise.resolve(new Response(body));
    });
    const said = expect(call('/rest/v1/contents')).rejects.toMatchObject({ isOffline: true });
    await vi.advanceTimersByTimeAsync(180_000);
    await said;
  });

  it('whoever leaves the page hears nothing of it', async () => {
    const leaving = new AbortController();
    vi.stubGlobal('fetch', (path: string, init: RequestInit) => {
      if (path === '/config.json') return Promise.resolve(new Response('{"anon_key":"k","name":"n","version":"1"}'));
      return new Promise((_resolve, reject) => init.signal?.addEventListener('abort', () => reject(init.signal?.reason)));
    });
    const said = expect(call('/rest/v1/contents', { signal: leaving.signal })).rejects.toMatchObject({ name: 'AbortError' });
    leaving.abort();
    await said;
  });
});
