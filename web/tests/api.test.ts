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
