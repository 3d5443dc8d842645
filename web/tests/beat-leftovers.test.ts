import { afterEach, beforeEach, expect, it, vi } from 'vitest';

const beat = (seq: number): unknown => ({ token: 't', user_id: null, beat: { seq, event_id: `e${seq}`, at: new Date().toISOString(), event: 'beat' } });

let kept: Map<string, string>;

beforeEach(() => {
  vi.resetModules();
  kept = new Map();
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => kept.set(key, value), removeItem: (key: string) => kept.delete(key) };
  // Object.keys of a real localStorage are its keys.
  vi.stubGlobal('localStorage', new Proxy(storage, { ownKeys: () => [...kept.keys()], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }) }));
  vi.stubGlobal('addEventListener', () => undefined);
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('no network')));
});
afterEach(() => vi.unstubAllGlobals());

it('beats that a closed tab left outlive the tab that took them on, too', async () => {
  kept.set('penstock.beats.a', JSON.stringify([beat(2)]));
  kept.set('penstock.beats.b', JSON.stringify([beat(1), 'nonsense']));
  const { beatPost } = await import('../src/lib/player/beat-post');
  expect(beatPost.state.waiting).toBe(2);
  // Closed before the server is back: what is stored is all that is left of it.
  expect(kept.size).toBe(1);
  const left = JSON.parse([...kept.values()][0] ?? '[]') as { beat: { seq: number } }[];
  expect(left.map((one) => one.beat.seq)).toEqual([1, 2]);
});

it('a storage that takes nothing more keeps what is in it', async () => {
  kept.set('penstock.beats.a', JSON.stringify([beat(1)]));
  vi.spyOn(localStorage, 'setItem').mockImplementation(() => {
    throw new Error('full');
  });
  const { beatPost } = await import('../src/lib/player/beat-post');
  expect(beatPost.state.waiting).toBe(1);
  expect([...kept.keys()]).toEqual(['penstock.beats.a']);
});
